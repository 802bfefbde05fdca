"""Both classifiers distilled, unweighted.

Against ``mutual_t1.py``: what the second classifier brings.
"""

_base_ = './independent.py'

model = dict(
    head=dict(
        distill_loss=dict(
            type='ReweightedDistillLoss',
            student='both',
            comparison='none',
            temperature=1.0,
            loss_weight=0.6,
        )
    )
)

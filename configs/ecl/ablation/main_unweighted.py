"""A main classifier taught by labels and the peers' main ones, beside one taught by labels alone.

Against ``mutual_t1.py``: what a second classifier brings as such.
"""

_base_ = './independent.py'

model = dict(
    head=dict(
        labels_teach='both',
        distill_loss=dict(
            type='ReweightedDistillLoss',
            student='distill',
            teacher='distill',
            comparison='none',
            temperature=1.0,
            loss_weight=0.6,
        ),
        predict_with='both',
    )
)

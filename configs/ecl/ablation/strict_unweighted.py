"""A second classifier taught by peers alone, unweighted: what two classifiers bring."""

_base_ = './independent.py'

model = dict(
    head=dict(
        distill_loss=dict(
            type='ReweightedDistillLoss',
            student='distill',
            teacher='label',
            comparison='none',
            temperature=1.0,
            loss_weight=0.6,
        ),
        predict_with='label',
    )
)

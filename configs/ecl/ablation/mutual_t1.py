"""Plain mutual distillation on the label classifiers, T = 1: what peers alone bring."""

_base_ = './independent.py'

model = dict(
    head=dict(
        distill_loss=dict(
            type='ReweightedDistillLoss',
            student='label',
            comparison='none',
            temperature=1.0,
            loss_weight=0.6,
        )
    )
)

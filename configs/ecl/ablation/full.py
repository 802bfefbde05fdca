"""Everything: re-weighted distillation, feature distillation through adapters, contrast."""

_base_ = './feature_adapter.py'

model = dict(
    contrast=dict(
        type='MomentumContrast',
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.5,
    )
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

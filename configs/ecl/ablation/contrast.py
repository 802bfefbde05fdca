"""As ``main_ratio.py``, with the contrastive proxy task."""

_base_ = './main_ratio.py'

model = dict(
    contrast=dict(
        type='MomentumContrast',
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.1,
    )
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

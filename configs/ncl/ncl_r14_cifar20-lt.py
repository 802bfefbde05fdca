"""NCL, K = 3 ResNet-14, CIFAR-20-LT at 16 x 16."""

_base_ = './ncl_r14_cifar20-lt_no-contrast.py'

model = dict(
    contrast=dict(type='MomentumContrast', queue_size=1024, momentum=0.999, temperature=0.2)
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

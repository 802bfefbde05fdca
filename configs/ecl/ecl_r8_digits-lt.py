"""ECL on Digits-LT: a run of minutes on a laptop, with nothing to download."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    head=dict(num_classes=10),
    contrast=dict(queue_size=256, momentum=0.99),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))
default_hooks = dict(checkpoint=dict(interval=20))

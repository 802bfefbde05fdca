"""LWS: cross-entropy, then a scale for each class; one ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    head=dict(num_classes=10, classifier=dict(type='ScaledLinear')),
)
param_scheduler = dict(T_max=50, end=50)
train_cfg = dict(val_interval=10)
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=50 / 60,
        train=['head.*.scale'],
        sampler=dict(type='ClassAwareSampler'),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
    )
)

"""cRT: cross-entropy, then new classifiers on frozen features.

One ResNet-14, CIFAR-100-LT at 16 x 16.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=14)), head=dict(num_classes=100))
param_scheduler = dict(T_max=50, end=50)
train_cfg = dict(val_interval=10)
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=50 / 60,
        reset=True,
        sampler=dict(type='ClassAwareSampler'),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
    )
)

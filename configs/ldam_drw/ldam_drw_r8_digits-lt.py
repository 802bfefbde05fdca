"""LDAM with deferred re-weighting, one ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    head=dict(
        num_classes=10,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=dict(
            _delete_=True,
            type='LDAMLoss',
            scale=30.0,
            max_margin=0.5,
            reweight_from=0.8,
            beta=0.9999,
        ),
    ),
)

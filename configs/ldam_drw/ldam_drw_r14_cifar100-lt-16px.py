"""LDAM with deferred re-weighting, one ResNet-14, CIFAR-100-LT at 16 x 16.

Largest margin 0.5, scale 30, weights (beta 0.9999) in the last fifth of the epochs, as published.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=14)),
    head=dict(
        num_classes=100,
        classifier=dict(type='CosineLinear', scale=30.0),
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

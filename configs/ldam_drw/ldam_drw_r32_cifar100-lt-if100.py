"""LDAM with deferred re-weighting, one ResNet-32, CIFAR-100-LT, imbalance factor 100.

Largest margin 0.5, scale 30, weights (beta 0.9999) in the last fifth of the epochs, as published.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
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
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.view + [dict(type='PackInputs')]))
)

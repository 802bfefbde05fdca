"""GLMC, one ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    # The consistency branch contains the classification loss.
    head=dict(num_classes=10, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='MixtureConsistency',
        hid_channels=128,
        sampling_power=0.0,
        weight_power=1.2,
        consistency_weight=4.0,
    ),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(type='MultiView', num_views=[2], transforms=[_base_.view]),
                dict(type='PackInputs'),
            ]
        )
    )
)

"""GLMC, one ResNet-14, CIFAR-100-LT at 16 x 16."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=14)),
    # The consistency branch contains the classification loss.
    head=dict(num_classes=100, label_loss=dict(loss_weight=0.0)),
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
                _base_.load,
                dict(type='MultiView', num_views=[2], transforms=[_base_.view]),
                dict(type='PackInputs'),
            ]
        )
    )
)

"""ProCo, one ResNet-8, Digits-LT."""

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
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
    ),
    contrast=dict(
        type='ProbabilisticContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=64, out_channels=32),
        temperature=0.1,
        loss_weight=1.0,
    ),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(type='MultiView', num_views=[1, 2], transforms=[_base_.view, _base_.key_view]),
                dict(type='PackInputs'),
            ]
        )
    )
)

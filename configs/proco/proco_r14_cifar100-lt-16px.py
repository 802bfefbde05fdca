"""ProCo, one ResNet-14, CIFAR-100-LT at 16 x 16."""

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
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
    ),
    contrast=dict(
        type='ProbabilisticContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=512, out_channels=128),
        temperature=0.1,
        loss_weight=1.0,
    ),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                _base_.load,
                dict(type='MultiView', num_views=[1, 2], transforms=[_base_.view, _base_.key_view]),
                dict(type='PackInputs'),
            ]
        )
    )
)

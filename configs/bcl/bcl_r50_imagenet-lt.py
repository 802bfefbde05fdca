"""BCL, one ResNet-50, ImageNet-LT, the released recipe of 90 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(_delete_=True, type='ResNet', depth=50)),
    head=dict(
        num_classes=1000,
        classifier=dict(type='CosineLinear', scale=30.0),
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
    ),
    contrast=dict(
        type='BalancedContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=2048, out_channels=1024),
        temperature=0.07,
        loss_weight=0.35,
    ),
)
images_per_step = 256
train_dataloader = dict(
    batch_size=images_per_step,
    dataset=dict(
        dataset=dict(
            pipeline=[
                _base_.load,
                dict(type='MultiView', num_views=[1, 2], transforms=[_base_.view, _base_.key_view]),
                dict(type='PackInputs'),
            ]
        )
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=5e-4, nesterov=False))
param_scheduler = dict(type='CosineAnnealingLR', T_max=90, eta_min=0, by_epoch=True)
train_cfg = dict(max_epochs=90)

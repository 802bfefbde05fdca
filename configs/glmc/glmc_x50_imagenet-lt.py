"""GLMC, one ResNeXt-50, ImageNet-LT, the released recipe of 135 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        backbone=dict(_delete_=True, type='ResNeXt', depth=50, groups=32, width_per_group=4)
    ),
    # The consistency branch contains the classification loss.
    head=dict(num_classes=1000, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='MixtureConsistency',
        hid_channels=256,
        sampling_power=0.2,
        weight_power=1.0,
        consistency_weight=10.0,
    ),
)
images_per_step = 120
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=2e-4, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='CosineAnnealingLR', T_max=125, begin=10, end=135, by_epoch=True),
]
train_cfg = dict(max_epochs=135)

"""GLMC, one ResNeXt-50, iNaturalist 2018, the released recipe of 120 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        backbone=dict(_delete_=True, type='ResNeXt', depth=50, groups=32, width_per_group=4)
    ),
    # The consistency branch contains the classification loss.
    head=dict(num_classes=8142, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='MixtureConsistency',
        hid_channels=256,
        sampling_power=0.2,
        weight_power=1.0,
        consistency_weight=10.0,
    ),
)
images_per_step = 128
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-4, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='CosineAnnealingLR', T_max=110, begin=10, end=120, by_epoch=True),
]
train_cfg = dict(max_epochs=120)

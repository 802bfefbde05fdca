"""PaCo, one ResNet-50, ImageNet-LT, the released recipe of 400 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(_delete_=True, type='ResNet', depth=50)),
    # The contrastive loss contains the classification loss.
    head=dict(num_classes=1000, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='ParametricContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=2048, out_channels=128),
        queue_size=8192,
        alpha=0.05,
        temperature=0.2,
    ),
)
images_per_step = 128
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=5e-4, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='CosineAnnealingLR', T_max=390, begin=10, end=400, by_epoch=True),
]
train_cfg = dict(max_epochs=400)

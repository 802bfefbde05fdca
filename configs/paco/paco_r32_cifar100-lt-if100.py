"""PaCo, one ResNet-32, CIFAR-100-LT, IF 100, the released recipe of 400 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # The contrastive loss contains the classification loss.
    head=dict(num_classes=100, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='ParametricContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=64, out_channels=32),
        queue_size=1024,
        alpha=0.01,
        temperature=0.05,
    ),
)
images_per_step = 128
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=5e-4, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='MultiStepLR', milestones=[320, 360], gamma=0.1, by_epoch=True),
]

"""GLMC, one ResNet-32, CIFAR-100-LT, IF 100, the released schedule of 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
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
data_preprocessor = dict(views=[_base_.crop_and_flip, _base_.crop_and_flip])
images_per_step = 64
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.01, weight_decay=5e-3, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='CosineAnnealingLR', T_max=190, begin=10, end=200, by_epoch=True),
]

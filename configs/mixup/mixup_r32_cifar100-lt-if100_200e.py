"""Mixup, one ResNet-32, CIFAR-100-LT, IF 100, 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(num_classes=100),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=1.0)]),
)
data_preprocessor = dict(views=[_base_.light_view])

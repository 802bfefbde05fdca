"""Balanced softmax, one ResNet-32, CIFAR-100-LT with imbalance factor 100, 200 epochs.

From class folders, with the recipe and the light augmentation that single networks are published
with: crop, flip, rotation by up to 15 degrees.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
train_dataloader = dict(batch_size=128)
data_preprocessor = dict(
    views=[
        [
            dict(type='BatchRandomCrop', crop_size=32, padding=4),
            dict(type='BatchRandomFlip'),
            dict(type='BatchRandomRotation', degrees=15),
        ]
    ]
)
default_hooks = dict(checkpoint=dict(interval=10))

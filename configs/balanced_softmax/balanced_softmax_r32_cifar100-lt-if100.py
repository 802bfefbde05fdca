"""Balanced softmax, one ResNet-32, CIFAR-100-LT, imbalance factor 100.

Augmentations and schedule of NCL, so that methods are compared with the same budget.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=100,
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
    ),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.view + [dict(type='PackInputs')]))
)

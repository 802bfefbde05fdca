"""Balanced softmax, one ResNet-14, CIFAR-20-LT at 16 x 16: minutes on a CPU.

The other methods on CIFAR-20-LT inherit this file, and with it data, schedule and budget.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar20_lt_16px.py',
    '../_base_/schedules/cifar20_lt_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=14)), head=dict(num_classes=20))
default_hooks = dict(checkpoint=dict(interval=25))

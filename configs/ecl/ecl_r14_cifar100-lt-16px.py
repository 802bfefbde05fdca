"""ECL without contrast and features, three ResNet-14, CIFAR-100-LT at 16 x 16.

The experiment that compares forms of the weights: see ablation/cifar100-lt-16px.yaml.
"""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=14)),
    head=dict(num_classes=100, expert_losses=dict(feature=None)),
    contrast=None,
)

"""Cross-entropy, then tau * log prior subtracted from the logits.

One ResNet-14, CIFAR-100-LT at 16 x 16.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=14)), head=dict(num_classes=100))
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau='auto'))

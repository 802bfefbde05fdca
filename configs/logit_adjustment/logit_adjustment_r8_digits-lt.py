"""Cross-entropy, then tau * log prior subtracted from the logits.

One ResNet-8, Digits-LT.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=8)), head=dict(num_classes=10))
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau='auto'))

"""Balanced softmax, EfficientNet-Lite0 with ImageNet weights, own photographs: the default."""

_base_ = [
    '../_base_/models/lite0.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/finetune_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
# Every tenth epoch, the default, would save none before the last.
default_hooks = dict(checkpoint=dict(interval=1))

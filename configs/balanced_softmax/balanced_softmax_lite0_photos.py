"""Balanced softmax, EfficientNet-Lite0 with ImageNet weights, own photographs: the default."""

_base_ = [
    '../_base_/models/lite0.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/finetune_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
# The default, every tenth epoch, would save no checkpoint before the last epoch.
default_hooks = dict(checkpoint=dict(interval=1))

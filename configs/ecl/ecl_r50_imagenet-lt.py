"""ECL, ResNet-50, ImageNet-LT, NCL's recipe (256 images per step over all GPUs)."""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=1000))

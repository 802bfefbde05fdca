"""ECL, ResNet-32, any small images: the base of ``ecl prepare``."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/lists_32px.py',
    '../_base_/schedules/cosine_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))

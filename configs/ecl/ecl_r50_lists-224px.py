"""ECL, ResNet-50, any photographs: a base for ``ecl prepare --base``."""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/lists_224px.py',
    '../_base_/schedules/cosine_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=2e-4))

"""ECL, ResNet-50, iNaturalist 2018, NCL's recipe (512 images per step over all GPUs)."""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=8142, classifier=dict(scale=32.0)))

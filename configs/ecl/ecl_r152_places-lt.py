"""ECL, ResNet-152 with torchvision's ImageNet weights, Places-LT, NCL's recipe.

The weights are downloaded at the first run.
"""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/places_lt.py',
    '../_base_/schedules/places_lt_30e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        backbone=dict(
            depth=152,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152.imagenet1k_v1'),
        )
    ),
    head=dict(num_classes=365),
)

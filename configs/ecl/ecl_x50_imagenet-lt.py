"""ECL, ResNeXt-50 (32 x 4d), ImageNet-LT, NCL's recipe."""

_base_ = './ecl_r50_imagenet-lt.py'

model = dict(backbone=dict(backbone=dict(type='ResNeXt', groups=32, width_per_group=4)))

"""NCL, three ResNet-152 with torchvision's ImageNet weights, Places-LT, the released recipe.

122 of 365 classes are hard.
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
    head=dict(
        num_classes=365,
        reading='single',
        expert_losses=dict(
            _delete_=True,
            nested=dict(type='NCLLoss', num_hard=122, kl_weight=0.6, hard_kl_weight=0.6),
        ),
    ),
    contrast=dict(neck=dict(out_channels=1024), loss_weight=1.0),
)

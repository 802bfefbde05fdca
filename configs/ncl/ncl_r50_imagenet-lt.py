"""NCL, three ResNet-50, ImageNet-LT: the released recipe with the paper's contrastive branch.

300 of 1000 classes are hard.
"""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=1000,
        reading='single',
        expert_losses=dict(
            _delete_=True,
            nested=dict(type='NCLLoss', num_hard=300, kl_weight=0.6, hard_kl_weight=0.6),
        ),
    ),
    contrast=dict(neck=dict(out_channels=1024), loss_weight=1.0),
)

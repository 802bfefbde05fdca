"""NCL, three ResNet-50, iNaturalist 2018: the released recipe with the paper's contrastive branch.

2442 of 8142 classes are hard.
"""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=8142,
        classifier=dict(scale=32.0),
        reading='single',
        expert_losses=dict(
            _delete_=True,
            nested=dict(type='NCLLoss', num_hard=2442, kl_weight=0.6, hard_kl_weight=0.6),
        ),
    ),
    contrast=dict(neck=dict(out_channels=1024), loss_weight=1.0),
)

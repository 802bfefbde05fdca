"""BalPoE, three ResNet-50, iNaturalist 2018, the released recipe.

The experts share the first two stages. Their stages have full widths.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        num_experts=3, shared_stages=2, backbone=dict(_delete_=True, type='ResNet', depth=50)
    ),
    head=dict(
        num_classes=8142,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=[dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (-1.0, 1.0, 3.0)],
    ),
    # The released code takes the mean of the losses over the experts.
    expert_reduction='mean',
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2)]),
)
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', T_max=100, eta_min=0, by_epoch=True)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.light_pipeline)))

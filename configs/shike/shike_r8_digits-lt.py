"""SHIKE, three ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='DepthFusionBackbone',
        num_experts=3,
        shared_stages=2,
        backbone=dict(depth=8, out_indices=(0, 1, 2)),
    ),
    head=dict(
        num_classes=10,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=dict(
            _delete_=True,
            type='TwoStageLoss',
            first=dict(type='CrossEntropyLoss'),
            second=dict(type='BalancedSoftmaxLoss'),
        ),
        # 10 / C and (K - 1) / C, as the released code divides by the number of classes.
        expert_losses=dict(
            hardest_negative=dict(type='HardestNegativeLoss', loss_weight=1.0),
            distill=dict(type='ReweightedDistillLoss', loss_weight=0.2),
        ),
    ),
)
param_scheduler = dict(T_max=40, end=40)
train_cfg = dict(val_interval=10)
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=40 / 60,
        reset=True,
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
    )
)

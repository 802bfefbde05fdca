"""BalPoE, three ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, backbone=dict(depth=8)),
    head=dict(
        num_classes=10,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=[dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (0.0, 1.0, 2.0)],
    ),
    # The released code takes the mean of the losses over the experts.
    expert_reduction='mean',
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.4)]),
)

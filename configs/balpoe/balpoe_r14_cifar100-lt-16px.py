"""BalPoE, three ResNet-14, CIFAR-100-LT at 16 x 16."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, backbone=dict(depth=14)),
    head=dict(
        num_classes=100,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=[dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (0.0, 1.0, 2.0)],
    ),
    # The released code takes the mean of the losses over the experts.
    expert_reduction='mean',
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.4)]),
)

"""Mutual distillation between experts, three ResNet-14, CIFAR-20-LT at 16 x 16."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar20_lt_16px.py',
    '../_base_/schedules/cifar20_lt_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, backbone=dict(depth=14)),
    head=dict(
        num_classes=20,
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
        expert_losses=dict(distill=dict(type='ReweightedDistillLoss', loss_weight=0.6)),
    ),
)

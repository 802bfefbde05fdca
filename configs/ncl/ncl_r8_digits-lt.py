"""NCL, three ResNet-8, Digits-LT. Three of ten classes are hard, the published share."""

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
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
        expert_losses=dict(
            nested=dict(type='NCLLoss', num_hard=3, kl_weight=0.6, hard_kl_weight=0.6)
        ),
    ),
    contrast=dict(type='MomentumContrast', queue_size=256, momentum=0.99, loss_weight=0.1),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

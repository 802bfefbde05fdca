"""NCL, three ResNet-32, CIFAR-100-LT, imbalance factor 100, the released recipe.

30 of 100 classes are hard; every loss has weight 1, except the two divergences (0.6).
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3),
    head=dict(
        num_classes=100,
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
        expert_losses=dict(
            nested=dict(type='NCLLoss', num_hard=30, kl_weight=0.6, hard_kl_weight=0.6)
        ),
    ),
    contrast=dict(
        type='MomentumContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=64, out_channels=64),
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=1.0,
    ),
)

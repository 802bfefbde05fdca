"""NCL, three ResNet-14, CIFAR-20-LT at 16 x 16.

Six of 20 classes are hard, the published share. The contrastive loss has the weight that suits ECL
at this size, a tenth of the published weight.
"""

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
        expert_losses=dict(
            nested=dict(type='NCLLoss', num_hard=6, kl_weight=0.6, hard_kl_weight=0.6)
        ),
    ),
    contrast=dict(
        type='MomentumContrast',
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.1,
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

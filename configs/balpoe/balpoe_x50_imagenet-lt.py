"""BalPoE, three ResNeXt-50 (32 x 4d), ImageNet-LT, the released recipe.

The experts share the first two stages. Their stages have full widths.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_180e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        num_experts=3,
        shared_stages=2,
        backbone=dict(_delete_=True, type='ResNeXt', depth=50, groups=32, width_per_group=4),
    ),
    head=dict(
        num_classes=1000,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=[dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (0.0, 1.25, 2.5)],
    ),
    # The released code takes the mean of the losses over the experts.
    expert_reduction='mean',
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.3)]),
)
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step, dataset=dict(dataset=dict(pipeline=_base_.light_pipeline))
)

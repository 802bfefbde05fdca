"""RIDE, three ResNeXt-50 (32 x 4d), ImageNet-LT, the released recipe.

The experts share the first two stages. Their stages have full widths, unlike the released ones.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_100e.py',
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
        label_loss=dict(
            _delete_=True,
            type='LDAMLoss',
            scale=30.0,
            max_margin=0.5,
            reweight_from=0.8,
            beta=0.9999,
        ),
        expert_losses=dict(diversity=dict(type='ExpertDiversityLoss', gamma=0.02, loss_weight=0.2)),
        aggregator=dict(type='RouterAggregator'),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.light_pipeline)))

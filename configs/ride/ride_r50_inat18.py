"""RIDE, three ResNet-50, iNaturalist 2018, the released recipe.

The experts share the first two stages. Their stages have full widths, unlike the released ones.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        num_experts=3, shared_stages=2, backbone=dict(_delete_=True, type='ResNet', depth=50)
    ),
    head=dict(
        num_classes=8142,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=dict(
            _delete_=True,
            type='LDAMLoss',
            scale=30.0,
            max_margin=0.5,
            reweight_from=0.8,
            beta=0.9999,
        ),
        expert_losses=dict(diversity=dict(type='ExpertDiversityLoss', loss_weight=0.2)),
        aggregator=dict(type='RouterAggregator'),
    ),
)
# One view: crop, flip and colour jitter.
images_per_step = 512
train_dataloader = dict(
    batch_size=images_per_step,
    dataset=dict(
        dataset=dict(
            pipeline=[
                _base_.load,
                dict(type='RandomResizedCrop', scale=224, backend='pillow'),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
                dict(type='PackInputs'),
            ]
        )
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.2, weight_decay=2e-4))
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', milestones=[60, 80], gamma=0.1, by_epoch=True
)
train_cfg = dict(max_epochs=100)

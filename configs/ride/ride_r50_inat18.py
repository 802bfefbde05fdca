"""RIDE, three ResNet-50, iNaturalist 2018, the released recipe.

The experts share the first two stages. Their stages have full widths, unlike the released ones.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/inat2018.py',
    '../_base_/schedules/inat18_100e.py',
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
        expert_losses=dict(
            diversity=dict(type='ExpertDiversityLoss', gamma=0.015, loss_weight=0.2)
        ),
        aggregator=dict(type='RouterAggregator'),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.light_pipeline)))

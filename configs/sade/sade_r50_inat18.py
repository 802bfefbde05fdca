"""SADE, three ResNet-50, iNaturalist 2018, the released recipe.

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
        label_loss=[
            dict(type='CrossEntropyLoss'),
            dict(type='BalancedSoftmaxLoss'),
            dict(type='InverseSoftmaxLoss', tau=1.0),
        ],
        aggregator=dict(type='WeightedAggregator'),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.light_pipeline)))

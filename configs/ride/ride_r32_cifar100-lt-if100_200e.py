"""RIDE, three ResNet-32, CIFAR-100-LT, IF 100, 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, shared_stages=1),
    head=dict(
        num_classes=100,
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

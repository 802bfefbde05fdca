"""MDCS, three ResNet-14, CIFAR-100-LT at 16 x 16."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, backbone=dict(depth=14)),
    head=dict(
        num_classes=100,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        # Half for each view.
        label_loss=[
            dict(type='BalancedSoftmaxLoss', tau=tau, loss_weight=0.5) for tau in (-0.5, 1.0, 2.5)
        ],
    ),
    contrast=dict(type='ConsistencyDistillation', loss_weight=0.6, warmup=0.05),
)
# The strong view is classified, the weak one teaches.
views = dict(type='MultiView', num_views=[1, 1], transforms=[_base_.key_view, _base_.view])
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=[_base_.load, views, dict(type='PackInputs')])),
)

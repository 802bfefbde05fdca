"""MDCS, three ResNet-32 of reduced width, CIFAR-100-LT, IF 100, 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, shared_stages=1, backbone=dict(stage_channels=(16, 24, 48))),
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
data_preprocessor = dict(views=[_base_.strong_view, _base_.light_view])

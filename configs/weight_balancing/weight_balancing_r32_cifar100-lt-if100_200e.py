"""Weight balancing: strong weight decay, then MaxNorm on frozen features.

One ResNet-32, CIFAR-100-LT, IF 100, 200 epochs.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=100,
        label_loss=dict(
            _delete_=True,
            type='TwoStageLoss',
            first=dict(type='CrossEntropyLoss'),
            second=dict(type='ClassBalancedLoss', beta=0.9999),
        ),
    )
)
data_preprocessor = dict(views=[_base_.light_view])
optim_wrapper = dict(optimizer=dict(weight_decay=5e-3))
train_cfg = dict(val_interval=10)
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=190 / 200,
        optimizer=dict(lr=0.01, weight_decay=0.1),
        max_norm=0.1,
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
    )
)

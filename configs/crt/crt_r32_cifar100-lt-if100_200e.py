"""cRT: cross-entropy, then new classifiers on frozen features.

One ResNet-32, CIFAR-100-LT, IF 100, 200 epochs.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
data_preprocessor = dict(views=[_base_.light_view])
train_cfg = dict(val_interval=10)
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=190 / 200,
        reset=True,
        sampler=dict(type='ClassAwareSampler'),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
    )
)

"""cRT, one ResNeXt-50 (32 x 4d), ImageNet-LT, the published recipe: 90 + 10 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        backbone=dict(_delete_=True, type='ResNeXt', depth=50, groups=32, width_per_group=4)
    ),
    head=dict(num_classes=1000),
)
images_per_step = 512
train_dataloader = dict(
    batch_size=images_per_step, dataset=dict(dataset=dict(pipeline=_base_.light_pipeline))
)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(type='CosineAnnealingLR', T_max=90, end=90, by_epoch=True)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=10)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(
    second_stage=dict(
        type='SecondStageHook',
        begin=0.9,
        reset=True,
        sampler=dict(type='ClassAwareSampler'),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True),
    )
)

"""ECL, three ResNet-14, CIFAR-20-LT at 16 x 16."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar20_lt_16px.py',
    '../_base_/schedules/cifar20_lt_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=14)), head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

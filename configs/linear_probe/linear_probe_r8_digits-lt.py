"""Linear probe on a ResNet-8 of random weights, long-tailed digits: for tests."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=8)), head=dict(num_classes=10))
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)), sampler=dict(shuffle=False)
)
train_cfg = dict(_delete_=True, type='LinearProbeLoop')
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau=1.0))

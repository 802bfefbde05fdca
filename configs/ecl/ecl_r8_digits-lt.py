"""ECL on Digits-LT: a run of minutes on a laptop, with nothing to download."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/default_runtime.py',
]

max_epochs = 60

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    head=dict(num_classes=10),
    contrast=dict(queue_size=256, momentum=0.99),
)

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
)
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=20)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(checkpoint=dict(interval=20))

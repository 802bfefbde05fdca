"""Common recipe for one ResNet-32 on CIFAR-LT: 200 epochs of batch 128 in bfloat16.

Warm-up 5, then 0.1, times 0.01 at epochs 160 and 180 (OpenLT, RIDE; SADE takes 0.1); weight decay
5e-4.
"""

optim_wrapper = dict(
    type='Bfloat16OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, begin=0, end=5, by_epoch=True),
    dict(type='MultiStepLR', milestones=[160, 180], gamma=0.01, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=20)
val_cfg = dict()
test_cfg = dict()

"""MDCS, three ResNet-32 of reduced width, CIFAR-100-LT, IF 100, the released recipe.

400 epochs of batch 64, warm-up 10, times 0.1 at epochs 200, 320 and 380.
"""

_base_ = './mdcs_r32_cifar100-lt-if100_200e.py'

images_per_step = 64
train_dataloader = dict(batch_size=images_per_step)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=10, by_epoch=True),
    dict(type='MultiStepLR', milestones=[200, 320, 380], gamma=0.1, by_epoch=True),
]
train_cfg = dict(max_epochs=400)

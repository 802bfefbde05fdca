"""ProCo, one ResNet-32, CIFAR-100-LT, IF 100, the released schedule of 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=100,
        label_loss=dict(_delete_=True, type='BalancedSoftmaxLoss'),
    ),
    contrast=dict(
        type='ProbabilisticContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=512, out_channels=128),
        temperature=0.1,
        loss_weight=1.0,
    ),
)
data_preprocessor = dict(views=[_base_.strong_view, _base_.key_view, _base_.key_view])
images_per_step = 256
train_dataloader = dict(batch_size=images_per_step)
optim_wrapper = dict(optimizer=dict(lr=0.3, weight_decay=2e-4, nesterov=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, begin=0, end=5, by_epoch=True),
    dict(type='MultiStepLR', milestones=[160, 180], gamma=0.1, by_epoch=True),
]

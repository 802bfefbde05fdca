"""BCL, one ResNet-32, CIFAR-100-LT, IF 100, 200 epochs at the budget of the other methods."""

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
        type='BalancedContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=512, out_channels=128),
        temperature=0.1,
        loss_weight=0.35,
    ),
)
data_preprocessor = dict(views=[_base_.strong_view, _base_.key_view, _base_.key_view])

"""Label smoothing, one ResNet-32, CIFAR-100-LT, IF 100, 200 epochs."""

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
            _delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
)
data_preprocessor = dict(views=[_base_.light_view])

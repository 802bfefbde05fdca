"""PaCo, one ResNet-32, CIFAR-100-LT, IF 100, 200 epochs at the budget of the other methods."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # The contrastive loss contains the classification loss.
    head=dict(num_classes=100, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='ParametricContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=64, out_channels=32),
        queue_size=1024,
        alpha=0.01,
        temperature=0.05,
    ),
)
data_preprocessor = dict(views=[_base_.strong_view, _base_.key_view])

"""PaCo, one ResNet-14, CIFAR-100-LT at 16 x 16."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=14)),
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
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

"""PaCo, one ResNet-8, Digits-LT."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(backbone=dict(depth=8)),
    # The contrastive loss contains the classification loss.
    head=dict(num_classes=10, label_loss=dict(loss_weight=0.0)),
    contrast=dict(
        type='ParametricContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=64, out_channels=32),
        queue_size=256,
        momentum=0.99,
        alpha=0.05,
        temperature=0.2,
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))

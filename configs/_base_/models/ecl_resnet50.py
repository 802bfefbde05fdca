"""ECL on ResNet-50: as on the CIFAR ResNets, with cosine classifiers and a long queue."""

_base_ = './ecl_resnet_cifar.py'

model = dict(
    backbone=dict(backbone=dict(_delete_=True, type='ResNet', depth=50)),
    head=dict(classifier=dict(_delete_=True, type='CosineLinear', scale=16.0, bias=True)),
    contrast=dict(
        neck=dict(hid_channels=2048, out_channels=1024), queue_size=65536, loss_weight=0.5
    ),
)

"""ECL, three ResNet-32, CIFAR-10-LT with imbalance factor 10, NCL's recipe."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar10_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(imbalance_factor=10))

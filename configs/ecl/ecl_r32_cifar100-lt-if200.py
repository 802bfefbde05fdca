"""ECL, ResNet-32, CIFAR-100-LT with imbalance factor 200."""

_base_ = './ecl_r32_cifar100-lt-if100.py'

train_dataloader = dict(dataset=dict(imbalance_factor=200))

"""CIFAR-10-LT, IF 100, from the original pickles; pipelines as for CIFAR-100-LT."""

_base_ = './cifar100_lt.py'

train_dataloader = dict(
    dataset=dict(max_per_class=5000, dataset=dict(type='CIFAR10', data_root='data/cifar10'))
)
val_dataloader = dict(dataset=dict(type='CIFAR10', data_root='data/cifar10'))
test_dataloader = val_dataloader

"""Cross-entropy on images drawn class by class, one ResNet-32, CIFAR-100-LT, imbalance factor 100.

The sampler balances the labels, so the loss corrects for no prior. An epoch has as many images as
without it.
"""

_base_ = '../cross_entropy/cross_entropy_r32_cifar100-lt-if100.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))

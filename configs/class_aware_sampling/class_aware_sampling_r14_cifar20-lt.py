"""Cross-entropy on images drawn class by class, one ResNet-14, CIFAR-20-LT at 16 x 16.

The sampler balances the labels, so the loss corrects for no prior. An epoch has as many images as
without it.
"""

_base_ = '../cross_entropy/cross_entropy_r14_cifar20-lt.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))

"""Cross-entropy on images drawn class by class, one ResNet-14, CIFAR-100-LT at 16 x 16.

The sampler balances the labels, so the loss does not correct for the prior. An epoch has as many
images as without the sampler.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_16px.py',
    '../_base_/schedules/cosine_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(backbone=dict(depth=14)), head=dict(num_classes=100))
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))

"""Cross-entropy on images drawn class by class, one ResNet-32, CIFAR-100-LT, imbalance factor 100.

The sampler balances the labels, so the loss does not correct for the prior. An epoch has as many
images as without the sampler.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassAwareSampler'),
    dataset=dict(dataset=dict(pipeline=_base_.view + [dict(type='PackInputs')])),
)

"""Cross-entropy on images drawn class by class, one ResNet-32, CIFAR-100-LT, IF 100, 200 epochs.

The sampler balances the labels, so the loss does not correct for the prior. An epoch has as many
images as without the sampler.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
data_preprocessor = dict(views=[_base_.light_view])
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))

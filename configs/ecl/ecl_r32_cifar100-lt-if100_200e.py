"""ECL without contrast and features, three ResNet-32, CIFAR-100-LT, IF 100, 200 epochs."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100, expert_losses=dict(feature=None)), contrast=None)

"""Cross-entropy, then tau * log prior subtracted from the logits.

One ResNet-32, CIFAR-100-LT, IF 100, 200 epochs.
"""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
data_preprocessor = dict(views=[_base_.light_view])
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau='auto'))

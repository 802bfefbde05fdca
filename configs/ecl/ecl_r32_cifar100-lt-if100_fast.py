"""ECL, ResNet-32, CIFAR-100-LT with imbalance factor 100: NCL's recipe, its data path at speed."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
optim_wrapper = dict(type='Bfloat16OptimWrapper', optimizer=dict(fused=True))

"""ECL, three ResNet-32, CIFAR-100-LT, IF 100: NCL's recipe with a faster data pipeline."""

_base_ = [
    '../_base_/models/ecl_resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_400e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=100))
images_per_step = 64
train_dataloader = dict(batch_size=images_per_step)
data_preprocessor = dict(views=[_base_.strong_view, _base_.key_view])
optim_wrapper = dict(type='Bfloat16OptimWrapper', optimizer=dict(fused=True))

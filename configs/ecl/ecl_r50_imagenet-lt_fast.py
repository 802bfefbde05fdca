"""ECL, ResNet-50, ImageNet-LT: ecl_r50_imagenet-lt.py with its views made on the GPU.

A worker reads several times as many images as with transforms of single images: see
docs/en/speed.md. On one GPU ``train_cfg.graph=True`` replays the step.
"""

_base_ = [
    '../_base_/models/ecl_resnet50.py',
    '../_base_/datasets/imagenet_lt_batch.py',
    '../_base_/schedules/imagenet_lt_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=1000))
optim_wrapper = dict(type='Bfloat16OptimWrapper', optimizer=dict(fused=True))
env_cfg = dict(cudnn_benchmark=True)

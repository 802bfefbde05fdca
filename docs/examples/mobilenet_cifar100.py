"""ECL on CIFAR-100-LT with a backbone of MMPretrain: no code, a type and its width."""

_base_ = '../../configs/ecl/ecl_r32_cifar100-lt-if100.py'

model = dict(
    backbone=dict(backbone=dict(_delete_=True, type='MobileNetV2', widen_factor=0.5)),
    head=dict(in_channels=1280),
    contrast=dict(in_channels=1280),
)

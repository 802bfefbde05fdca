"""ECL on CIFAR-100-LT with a backbone of MMPretrain: only its type is needed."""

_base_ = '../../configs/ecl/ecl_r32_cifar100-lt-if100.py'

model = dict(
    backbone=dict(
        shared_stages=3, backbone=dict(_delete_=True, type='MobileNetV2', widen_factor=0.5)
    )
)

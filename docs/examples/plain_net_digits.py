"""ECL on digits with two experts of another network."""

_base_ = '../../configs/ecl/ecl_r8_digits-lt.py'
custom_imports = dict(imports=['plain_net'])

model = dict(
    backbone=dict(num_experts=2, backbone=dict(_delete_=True, type='PlainNet', widths=(16, 32)))
)

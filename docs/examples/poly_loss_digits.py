"""ECL on the digits with another label loss."""

_base_ = '../../configs/ecl/ecl_r8_digits-lt.py'
custom_imports = dict(imports=['poly_loss'])

model = dict(head=dict(label_loss=dict(_delete_=True, type='PolyLoss', epsilon=1.0)))

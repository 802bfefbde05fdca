"""Everything: re-weighted distillation, feature distillation through adapters, contrast."""

_base_ = './contrast.py'

model = dict(head=dict(feature_loss=dict(type='FeatureDistillLoss', loss_weight=0.1)))

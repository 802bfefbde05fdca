"""As ``main_ratio.py``, with features distilled through adapters."""

_base_ = './main_ratio.py'

model = dict(head=dict(feature_loss=dict(type='FeatureDistillLoss', loss_weight=0.1)))

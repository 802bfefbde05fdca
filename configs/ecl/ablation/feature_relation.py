"""As ``main_ratio.py``, with the relations between images distilled."""

_base_ = './main_ratio.py'

model = dict(head=dict(feature_loss=dict(type='RelationDistillLoss', loss_weight=0.5)))

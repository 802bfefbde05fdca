"""As ``main_loss_ratio.py``, with the relations between images distilled."""

_base_ = './main_loss_ratio.py'

model = dict(head=dict(feature_loss=dict(type='RelationDistillLoss', loss_weight=0.5)))

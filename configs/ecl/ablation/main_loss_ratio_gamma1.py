"""As ``main_loss_ratio.py``, with the ratio itself: how far to trust it."""

_base_ = './main_loss_ratio.py'

model = dict(head=dict(distill_loss=dict(gamma=1.0)))

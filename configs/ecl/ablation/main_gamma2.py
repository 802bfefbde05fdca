"""As ``main_ratio.py``, with the square of the ratio: how far to trust it."""

_base_ = './main_ratio.py'

model = dict(head=dict(distill_loss=dict(gamma=2.0)))

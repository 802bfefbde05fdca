"""As ``main_ratio.py``, with the average ratio of each class: the grain of the weights."""

_base_ = './main_ratio.py'

model = dict(head=dict(distill_loss=dict(granularity='class')))

"""As ``main_ratio.py``, with the difference of the probabilities: how to compare."""

_base_ = './main_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='difference')))

"""As ``both_ratio.py``, with the difference of the probabilities: how to compare."""

_base_ = './both_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='difference')))

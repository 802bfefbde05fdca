"""As ``main_ratio.py``, with the ratio of the cross-entropies, which does not fade as both fit."""

_base_ = './main_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='loss_ratio')))

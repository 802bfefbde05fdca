"""As ``main_ratio.py``, with the ratio of the cross-entropies, which does not fade as both fit.

Its square root: the ratio itself spans two orders of magnitude.
"""

_base_ = './main_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='loss_ratio', gamma=0.5), predict_with='both'))

"""As ``main_unweighted.py``, re-weighted on each image by the ratio of the probabilities.

Against ``main_unweighted.py``: what the weights bring.
"""

_base_ = './main_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='ratio')))

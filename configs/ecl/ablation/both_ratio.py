"""Both classifiers distilled, re-weighted by the ratio on each image.

Against ``both_unweighted.py``: what the weights bring.
"""

_base_ = './both_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='ratio')))

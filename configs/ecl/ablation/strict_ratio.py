"""The strict reading of the abstract: the second classifier distilled, re-weighted by the ratio.

Against ``strict_unweighted.py``: what the weights bring.
"""

_base_ = './strict_unweighted.py'

model = dict(head=dict(distill_loss=dict(comparison='ratio')))

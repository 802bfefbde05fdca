"""Both classifiers learn from the peers' label classifiers, unweighted.

Against ``mutual_t1.py``: what the second classifier brings.
"""

_base_ = './strict_unweighted.py'

model = dict(head=dict(distill_loss=dict(student='both')))

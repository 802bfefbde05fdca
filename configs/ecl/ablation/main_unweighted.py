"""A main classifier taught by labels and the peers' main ones, beside one taught by labels alone.

Against ``mutual_t1.py``: what a second classifier brings as such.
"""

_base_ = './strict_unweighted.py'

model = dict(
    head=dict(labels_teach='both', distill_loss=dict(teacher='distill'), predict_with='distill')
)

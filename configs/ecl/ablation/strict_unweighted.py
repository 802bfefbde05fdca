"""A second classifier taught by peers alone, unweighted: what two classifiers bring."""

_base_ = './mutual_t1.py'

model = dict(head=dict(distill_loss=dict(student='distill', teacher='label'), predict_with='label'))

"""Plain mutual distillation at T = 2, against T = 1."""

_base_ = './mutual_t1.py'

model = dict(head=dict(distill_loss=dict(temperature=2.0)))

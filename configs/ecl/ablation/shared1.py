"""As ``full.py``, the experts sharing stem and first stage: what whole networks bring."""

_base_ = './full.py'

model = dict(backbone=dict(shared_stages=1))

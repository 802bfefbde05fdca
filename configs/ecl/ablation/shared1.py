"""As ``main_ratio.py``, the experts sharing stem and first stage: what whole networks bring."""

_base_ = './main_ratio.py'

model = dict(backbone=dict(shared_stages=1))

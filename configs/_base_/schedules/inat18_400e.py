"""NCL's recipe for iNaturalist 2018: 400 epochs of batch 512, cosine from 0.2."""

_base_ = './imagenet_lt_200e.py'

param_scheduler = dict(T_max=400, eta_min=0)
train_cfg = dict(max_epochs=400)

"""Schedule of RIDE for ImageNet-LT: 100 epochs of batch 256, warm-up 5, steps at 60 and 80."""

_base_ = './inat18_100e.py'

optim_wrapper = dict(optimizer=dict(lr=0.1))

"""K = 3 experts that teach each other nothing: what an ensemble alone brings.

The other files of this folder inherit this one, and with it ResNet-14 on CIFAR-20-LT.
"""

_base_ = '../../balanced_softmax/balanced_softmax_r14_cifar20-lt.py'

model = dict(backbone=dict(num_experts=3))

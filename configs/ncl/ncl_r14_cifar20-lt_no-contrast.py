"""NCL without its contrastive branch, K = 3 ResNet-14, CIFAR-20-LT at 16 x 16.

Six of 20 classes are hard, the published share.
"""

_base_ = '../balanced_softmax/balanced_softmax_r14_cifar20-lt.py'

model = dict(
    backbone=dict(num_experts=3),
    head=dict(
        distill_loss=dict(type='NCLLoss', num_hard=6, kl_weight=0.6, hard_kl_weight=0.6),
    ),
)

"""Plain cross-entropy, one ResNet-14, CIFAR-20-LT at 16 x 16."""

_base_ = '../balanced_softmax/balanced_softmax_r14_cifar20-lt.py'

# Without correction for the prior, balanced softmax is the cross-entropy.
model = dict(head=dict(label_loss=dict(tau=0.0)))

"""Plain cross-entropy, one ResNet-32, CIFAR-100-LT with imbalance factor 100, 200 epochs."""

_base_ = '../balanced_softmax/balanced_softmax_r32_cifar100-lt-if100_200e.py'

# Without correction for the prior, balanced softmax is the cross-entropy.
model = dict(head=dict(label_loss=dict(tau=0.0)))

"""One network or several independent ones: the CIFAR ResNets with balanced softmax.

The starting point of the baselines and ablations, which add what they are about.
"""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=1,
        shared_stages=0,
        backbone=dict(type='ResNetCIFAR', depth=32),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='ECLHead',
        classifier=dict(type='Linear'),
        label_loss=dict(type='BalancedSoftmaxLoss'),
    ),
)

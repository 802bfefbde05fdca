"""One CIFAR ResNet with cross-entropy: the start of every method on small images."""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=1,
        shared_stages=0,
        backbone=dict(type='ResNetCIFAR', depth=32),
    ),
    head=dict(
        type='ECLHead',
        classifier=dict(type='Linear'),
        label_loss=dict(type='CrossEntropyLoss'),
    ),
    # Losses are summed over the experts, so each expert has the learning rate of a single network.
    expert_reduction='sum',
)

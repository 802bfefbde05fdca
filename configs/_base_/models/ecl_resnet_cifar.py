"""ECL on the CIFAR ResNets: three whole networks, linear classifiers, contrast."""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=3,
        shared_stages=0,
        backbone=dict(type='ResNetCIFAR', depth=32),
    ),
    head=dict(
        type='ECLHead',
        classifier=dict(type='Linear'),
        # Labels supervise both classifiers of an expert. The second one also learns from its peers.
        # The first one predicts.
        reading='shared_labels',
        predict_with='label',
        label_loss=dict(type='BalancedSoftmaxLoss'),
        expert_losses=dict(
            distill=dict(
                type='ReweightedDistillLoss',
                weighting=dict(type='TrustWeighting'),
                loss_weight=0.6,
            ),
            feature=dict(type='FeatureDistillLoss', loss_weight=0.1),
        ),
    ),
    contrast=dict(
        type='MomentumContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=128, out_channels=64),
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.1,
    ),
    # Losses are summed over the experts, so each expert has the learning rate of a single network.
    expert_reduction='sum',
)

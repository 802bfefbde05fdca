"""ECL on ResNet-50: three whole networks, cosine classifiers, contrast with a long queue."""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=3,
        shared_stages=0,
        backbone=dict(type='ResNet', depth=50),
    ),
    head=dict(
        type='ECLHead',
        classifier=dict(type='CosineLinear', scale=16.0, bias=True),
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
        # Keys of MoCo v2's size; with NCL's 1,024 the queue alone would be 805 MB.
        neck=dict(type='ContrastiveNeck', hid_channels=2048, out_channels=128),
        queue_size=65536,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.5,
    ),
    # Losses are summed over the experts, so each expert has the learning rate of a single network.
    expert_reduction='sum',
)

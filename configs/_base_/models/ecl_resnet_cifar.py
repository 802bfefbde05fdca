"""ECL on the CIFAR ResNets: K = 3 whole networks, linear classifiers, contrast."""

model = dict(
    type='ECLClassifier',
    backbone=dict(
        type='MultiExpertBackbone',
        num_experts=3,
        shared_stages=0,
        backbone=dict(type='ResNetCIFAR', depth=32),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='ECLHead',
        classifier=dict(type='Linear'),
        label_loss=dict(type='BalancedSoftmaxLoss'),
        labels_teach='both',
        distill_loss=dict(
            type='ReweightedDistillLoss',
            student='distill',
            teacher='distill',
            comparison='ratio',
            loss_weight=0.6,
        ),
        feature_loss=dict(type='FeatureDistillLoss', loss_weight=0.1),
        predict_with='distill',
    ),
    contrast=dict(
        type='MomentumContrast',
        neck=dict(type='ContrastiveNeck', hid_channels=128, out_channels=64),
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.1,
    ),
)

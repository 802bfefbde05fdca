"""Losses: of labels, between experts, and the weights of images in them."""

from ecl.models.losses.classification import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    ClassCountLoss,
    LDAMLoss,
    SoftmaxFocalLoss,
    TwoStageLoss,
)
from ecl.models.losses.distillation import (
    ConsensusErrorLoss,
    FeatureDistillLoss,
    NCLLoss,
    RelationDistillLoss,
    ReweightedDistillLoss,
    peer_divergence,
)
from ecl.models.losses.weighting import DistillWeighting, ImageWeighting, TrustWeighting

__all__ = [
    'BalancedSoftmaxLoss',
    'ClassBalancedLoss',
    'ClassCountLoss',
    'ConsensusErrorLoss',
    'DistillWeighting',
    'FeatureDistillLoss',
    'ImageWeighting',
    'LDAMLoss',
    'NCLLoss',
    'RelationDistillLoss',
    'ReweightedDistillLoss',
    'SoftmaxFocalLoss',
    'TrustWeighting',
    'TwoStageLoss',
    'peer_divergence',
]

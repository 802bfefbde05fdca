"""Losses: of labels, between experts, and the weights of images in them."""

from ecl.models.losses.classification import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    ClassCountLoss,
    LDAMLoss,
    SoftmaxFocalLoss,
)
from ecl.models.losses.distillation import ReweightedDistillLoss, peer_divergence
from ecl.models.losses.features import FeatureDistillLoss, RelationDistillLoss
from ecl.models.losses.nested import NCLLoss
from ecl.models.losses.weighting import DistillWeighting, ImageWeighting, TrustWeighting

__all__ = [
    'BalancedSoftmaxLoss',
    'ClassBalancedLoss',
    'ClassCountLoss',
    'DistillWeighting',
    'FeatureDistillLoss',
    'ImageWeighting',
    'LDAMLoss',
    'NCLLoss',
    'RelationDistillLoss',
    'ReweightedDistillLoss',
    'SoftmaxFocalLoss',
    'TrustWeighting',
    'peer_divergence',
]

"""Label losses, losses between experts, and weights of images in these losses."""

from ecl.models.losses.classification import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    ClassCountLoss,
    SoftmaxFocalLoss,
    TwoStageLoss,
)
from ecl.models.losses.distillation import ReweightedDistillLoss, peer_divergence
from ecl.models.losses.feature_distillation import FeatureDistillLoss, RelationDistillLoss
from ecl.models.losses.ldam import LDAMLoss
from ecl.models.losses.weighting import DistillWeighting, ImageWeighting, TrustWeighting

__all__ = [
    'BalancedSoftmaxLoss',
    'ClassBalancedLoss',
    'ClassCountLoss',
    'DistillWeighting',
    'FeatureDistillLoss',
    'ImageWeighting',
    'LDAMLoss',
    'RelationDistillLoss',
    'ReweightedDistillLoss',
    'SoftmaxFocalLoss',
    'TrustWeighting',
    'TwoStageLoss',
    'peer_divergence',
]

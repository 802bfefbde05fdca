"""Models. Importing this package registers them, and MMPretrain's, for configs."""

import mmpretrain.models  # noqa: F401  registers the parent's modules

from ecl.models.aggregators import MeanAggregator
from ecl.models.classifier import ECLClassifier
from ecl.models.contrast import ContrastiveNeck, MomentumContrast
from ecl.models.cosine_linear import CosineLinear
from ecl.models.data_preprocessor import MultiViewDataPreprocessor
from ecl.models.expert_head import ECLHead
from ecl.models.losses import (
    BalancedSoftmaxLoss,
    DistillWeighting,
    FeatureDistillLoss,
    LDAMLoss,
    NCLLoss,
    RelationDistillLoss,
    ReweightedDistillLoss,
    TrustWeighting,
)
from ecl.models.multi_expert import FeaturePooling, MultiExpertBackbone
from ecl.models.outputs import ExpertOutputs
from ecl.models.resnet_cifar import ResNetCIFAR
from ecl.models.tta import AverageScoresTTA

__all__ = [
    'AverageScoresTTA',
    'BalancedSoftmaxLoss',
    'ContrastiveNeck',
    'CosineLinear',
    'DistillWeighting',
    'ECLClassifier',
    'ECLHead',
    'ExpertOutputs',
    'FeatureDistillLoss',
    'FeaturePooling',
    'LDAMLoss',
    'MeanAggregator',
    'MomentumContrast',
    'MultiExpertBackbone',
    'MultiViewDataPreprocessor',
    'NCLLoss',
    'RelationDistillLoss',
    'ResNetCIFAR',
    'ReweightedDistillLoss',
    'TrustWeighting',
]

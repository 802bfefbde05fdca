"""Models. Importing this package registers these models and the models of MMPretrain."""

import mmpretrain.models  # noqa: F401  registers the parent's modules

from ecl.models.bcl import BalancedContrast
from ecl.models.classifier import AverageScoresTTA, ECLClassifier
from ecl.models.contrast import ContrastiveNeck, MomentumContrast
from ecl.models.data_preprocessor import MultiViewDataPreprocessor
from ecl.models.expert_head import ECLHead, MeanAggregator
from ecl.models.glmc import MixtureConsistency
from ecl.models.linear import CosineLinear, ScaledLinear
from ecl.models.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    ClassCountLoss,
    DistillWeighting,
    FeatureDistillLoss,
    ImageWeighting,
    LDAMLoss,
    RelationDistillLoss,
    ReweightedDistillLoss,
    SoftmaxFocalLoss,
    TrustWeighting,
    TwoStageLoss,
)
from ecl.models.mdcs import ConsistencyDistillation
from ecl.models.multi_expert import FeaturePooling, MultiExpertBackbone
from ecl.models.ncl import NCLLoss
from ecl.models.outputs import ExpertOutputs
from ecl.models.paco import ParametricContrast
from ecl.models.proco import ProbabilisticContrast
from ecl.models.remix import Remix
from ecl.models.resnet_cifar import ResNetCIFAR
from ecl.models.ride import ExpertDiversityLoss, RouterAggregator
from ecl.models.sade import InverseSoftmaxLoss, WeightedAggregator
from ecl.models.shike import DepthFusionBackbone, HardestNegativeLoss
from ecl.models.tcl import ConsensusErrorLoss

__all__ = [
    'AverageScoresTTA',
    'BalancedContrast',
    'BalancedSoftmaxLoss',
    'ClassBalancedLoss',
    'ClassCountLoss',
    'ConsensusErrorLoss',
    'ConsistencyDistillation',
    'ContrastiveNeck',
    'CosineLinear',
    'DepthFusionBackbone',
    'DistillWeighting',
    'ECLClassifier',
    'ECLHead',
    'ExpertDiversityLoss',
    'ExpertOutputs',
    'FeatureDistillLoss',
    'FeaturePooling',
    'HardestNegativeLoss',
    'ImageWeighting',
    'InverseSoftmaxLoss',
    'LDAMLoss',
    'MeanAggregator',
    'MixtureConsistency',
    'MomentumContrast',
    'MultiExpertBackbone',
    'MultiViewDataPreprocessor',
    'NCLLoss',
    'ParametricContrast',
    'ProbabilisticContrast',
    'RelationDistillLoss',
    'Remix',
    'ResNetCIFAR',
    'ReweightedDistillLoss',
    'RouterAggregator',
    'ScaledLinear',
    'SoftmaxFocalLoss',
    'TrustWeighting',
    'TwoStageLoss',
    'WeightedAggregator',
]

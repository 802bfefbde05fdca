"""Models. Importing this package registers them, and MMPretrain's, for configs."""

import mmpretrain.models  # noqa: F401  registers the parent's modules

from .backbones import MultiExpertBackbone, ResNetCIFAR
from .classifiers import ECLClassifier
from .contrast import MomentumContrast
from .heads import CosineLinear, ECLHead
from .losses import (
    BalancedSoftmaxLoss,
    FeatureDistillLoss,
    LDAMLoss,
    NCLLoss,
    PredictionComparison,
    RelationDistillLoss,
    ReweightedDistillLoss,
)
from .necks import ContrastiveNeck
from .tta import AverageScoresTTA
from .utils import MultiViewDataPreprocessor

__all__ = [
    'AverageScoresTTA',
    'BalancedSoftmaxLoss',
    'ContrastiveNeck',
    'CosineLinear',
    'ECLClassifier',
    'ECLHead',
    'FeatureDistillLoss',
    'LDAMLoss',
    'MomentumContrast',
    'MultiExpertBackbone',
    'MultiViewDataPreprocessor',
    'NCLLoss',
    'PredictionComparison',
    'RelationDistillLoss',
    'ResNetCIFAR',
    'ReweightedDistillLoss',
]

"""Losses: modules that take tensors and return a scalar."""

from .balanced_softmax import BalancedSoftmaxLoss
from .feature_distill import FeatureDistillLoss
from .ldam import LDAMLoss
from .ncl import NCLLoss
from .prediction_comparison import PredictionComparison
from .relation_distill import RelationDistillLoss
from .reweighted_distill import ReweightedDistillLoss, peer_divergence

__all__ = [
    'BalancedSoftmaxLoss',
    'FeatureDistillLoss',
    'LDAMLoss',
    'NCLLoss',
    'PredictionComparison',
    'RelationDistillLoss',
    'ReweightedDistillLoss',
    'peer_divergence',
]

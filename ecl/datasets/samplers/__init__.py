"""Samplers for long-tailed data."""

from ecl.datasets.samplers.balanced_batch import BalancedBatchSampler
from ecl.datasets.samplers.class_aware import ClassAwareSampler
from ecl.datasets.samplers.progressively_balanced import ProgressivelyBalancedSampler
from ecl.datasets.samplers.repeat_factor import RepeatFactorSampler

__all__ = [
    'BalancedBatchSampler',
    'ClassAwareSampler',
    'ProgressivelyBalancedSampler',
    'RepeatFactorSampler',
]

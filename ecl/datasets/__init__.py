"""Datasets, samplers and what is known about them: class counts and protocol."""

from contextlib import redirect_stdout
from io import StringIO

# Standard output belongs to the tools (check.py --json); this import prints what it lacks there.
with redirect_stdout(StringIO()):
    import mmpretrain.datasets  # noqa: F401

from ecl.datasets.cifar import CIFAR10, CIFAR100
from ecl.datasets.class_counts import count_classes, gt_labels, known_num_classes
from ecl.datasets.digits import Digits
from ecl.datasets.folder import ImageFolder
from ecl.datasets.image_list import ImageList
from ecl.datasets.in_memory import InMemoryDataset
from ecl.datasets.long_tail import LongTailDataset
from ecl.datasets.profiles import long_tail_counts
from ecl.datasets.protocol import describe
from ecl.datasets.samplers import (
    BalancedBatchSampler,
    ClassAwareSampler,
    ProgressivelyBalancedSampler,
    RepeatFactorSampler,
)
from ecl.datasets.transforms import CIFARAutoAugment

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'BalancedBatchSampler',
    'CIFARAutoAugment',
    'ClassAwareSampler',
    'Digits',
    'ImageFolder',
    'ImageList',
    'InMemoryDataset',
    'LongTailDataset',
    'ProgressivelyBalancedSampler',
    'RepeatFactorSampler',
    'count_classes',
    'describe',
    'gt_labels',
    'known_num_classes',
    'long_tail_counts',
]

"""Datasets, samplers and what is known about them: class counts and protocol."""

import mmpretrain.datasets  # noqa: F401

from ecl.datasets.class_counts import count_classes, gt_labels, known_num_classes
from ecl.datasets.digits import Digits
from ecl.datasets.long_tail import LongTailDataset, long_tail_counts
from ecl.datasets.protocol import describe

__all__ = [
    'Digits',
    'LongTailDataset',
    'count_classes',
    'describe',
    'gt_labels',
    'known_num_classes',
    'long_tail_counts',
]

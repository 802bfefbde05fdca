"""Datasets, samplers, transforms, and the class counts and protocol of a dataset."""

from contextlib import redirect_stdout
from io import StringIO

# This import prints what it lacks to standard output, which belongs to the tools (check.py --json).
with redirect_stdout(StringIO()):
    import mmpretrain.datasets  # noqa: F401

from ecl.datasets.batch_auto_augment import BatchCIFARAutoAugment, BatchRandAugment
from ecl.datasets.batch_color import BatchColorJitter, BatchGaussianBlur, BatchRandomGrayscale
from ecl.datasets.batch_geometry import (
    BatchCutout,
    BatchRandomCrop,
    BatchRandomFlip,
    BatchRandomResizedCrop,
    BatchRandomRotation,
)
from ecl.datasets.batch_sampler import BalancedBatchSampler
from ecl.datasets.cifar import CIFAR10, CIFAR100
from ecl.datasets.class_counts import count_classes, count_distinct, gt_labels
from ecl.datasets.class_names import known_num_classes
from ecl.datasets.folder import CustomDataset, ImageFolder
from ecl.datasets.image_csv import ImageCSV
from ecl.datasets.image_list import ImageList
from ecl.datasets.in_memory import Digits, InMemoryDataset
from ecl.datasets.long_tail import LongTailDataset
from ecl.datasets.profiles import long_tail_counts
from ecl.datasets.protocol import describe
from ecl.datasets.samplers import (
    ClassAwareSampler,
    ProgressivelyBalancedSampler,
    RepeatFactorSampler,
)
from ecl.datasets.transforms import Cached, CIFARAutoAugment, LoadImage

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'BalancedBatchSampler',
    'BatchCIFARAutoAugment',
    'BatchColorJitter',
    'BatchCutout',
    'BatchGaussianBlur',
    'BatchRandAugment',
    'BatchRandomCrop',
    'BatchRandomFlip',
    'BatchRandomGrayscale',
    'BatchRandomResizedCrop',
    'BatchRandomRotation',
    'CIFARAutoAugment',
    'Cached',
    'ClassAwareSampler',
    'CustomDataset',
    'Digits',
    'ImageCSV',
    'ImageFolder',
    'ImageList',
    'InMemoryDataset',
    'LoadImage',
    'LongTailDataset',
    'ProgressivelyBalancedSampler',
    'RepeatFactorSampler',
    'count_classes',
    'count_distinct',
    'describe',
    'gt_labels',
    'known_num_classes',
    'long_tail_counts',
]

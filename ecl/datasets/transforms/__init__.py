"""Transforms that neither MMPretrain nor a config can express."""

from ecl.datasets.transforms.cached import Cached
from ecl.datasets.transforms.cifar_auto_augment import CIFARAutoAugment

__all__ = ['CIFARAutoAugment', 'Cached']

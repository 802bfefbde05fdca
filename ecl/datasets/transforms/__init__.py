"""Transforms that neither MMPretrain nor a config can express."""

from ecl.datasets.transforms import batch
from ecl.datasets.transforms.cached import Cached
from ecl.datasets.transforms.cifar_auto_augment import CIFARAutoAugment
from ecl.datasets.transforms.load_image import LoadImage

__all__ = ['CIFARAutoAugment', 'Cached', 'LoadImage', 'batch']

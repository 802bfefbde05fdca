"""Augmentations of a whole batch at once, on the device that holds it.

Each is a callable that maps images (N, 3, H, W), float32 in [0, 255], RGB, to the same kind and
draws for every image anew, from the distribution of the transform of one image that it is named
after. Numbers come from torch's generators.
"""

from ecl.datasets.transforms.batch.auto_augment import BatchCIFARAutoAugment
from ecl.datasets.transforms.batch.blur import BatchGaussianBlur
from ecl.datasets.transforms.batch.color import BatchColorJitter, BatchRandomGrayscale
from ecl.datasets.transforms.batch.geometry import (
    BatchCutout,
    BatchRandomCrop,
    BatchRandomFlip,
    BatchRandomResizedCrop,
    BatchRandomRotation,
)

__all__ = [
    'BatchCIFARAutoAugment',
    'BatchColorJitter',
    'BatchCutout',
    'BatchGaussianBlur',
    'BatchRandomCrop',
    'BatchRandomFlip',
    'BatchRandomGrayscale',
    'BatchRandomResizedCrop',
    'BatchRandomRotation',
]

"""Transforms of single images that MMPretrain does not have."""

import multiprocessing
import warnings
from copy import deepcopy
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from PIL import Image
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ecl.datasets.image_file import decode_image, inspect_image
from ecl.errors import UserError
from ecl.registry import TRANSFORMS
from ecl.settings import OneOf, Whole, validate_params


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read an image file into ``img``, an array (H, W, 3) of uint8 in BGR.

    CMYK, 16-bit and palette images become 8-bit colour, and transparent parts white; an animation
    gives its first frame. A file that is missing, not an image, or has more than ``MAX_PIXELS``
    pixels stops the training with one line that names it. With ``bad='replace'`` another image of
    the dataset, drawn at random, replaces it, and BadImageHook logs the number of replacements.

    A truncated file also counts as bad. A JPEG file with damaged data between a valid beginning and
    a valid end is read without an error, with grey or shifted parts.

    Args:
        bad: What to do with a bad file: 'stop' or 'replace'. A test set always stops, since it
            must not change.

    Raises:
        UserError: If ``bad`` has another value, or if a file is bad.

    Example:
        >>> pipeline = [dict(type='LoadImage', bad='replace'), dict(type='PackInputs')]
    """

    @validate_params(bad=OneOf('stop', 'replace'))
    def __init__(self, bad: str = 'stop') -> None:
        self.bad = bad
        self.replaced = SharedCounter()

    def transform(self, results: dict) -> dict | None:
        """Read ``img_path``. None for a bad file makes the dataset draw another image."""
        path = results['img_path']
        try:
            image = decode_image(get(path))
        # A damaged file may raise any exception; in every case the user must replace the file.
        except Exception as error:
            fault = inspect_image(path).fault or ' '.join(str(error).split())
            if self.bad == 'stop':
                raise UserError(
                    f'{path}: {fault}. Replace the file, remove it from the data, or train '
                    "without it by LoadImage's bad='replace'."
                ) from error
            self.replaced.add_one()
            warnings.warn(f'{path} was replaced: {fault}', stacklevel=1)
            return None
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


class SharedCounter:
    """Counter shared by all data workers and by copies of a dataset."""

    def __init__(self) -> None:
        self._value: Any = multiprocessing.Value('q', 0)

    def add_one(self) -> None:
        """Add one."""
        with self._value.get_lock():
            self._value.value += 1

    @property
    def value(self) -> int:
        """The count."""
        return self._value.value

    def __deepcopy__(self, memo: dict) -> 'SharedCounter':
        return self


@TRANSFORMS.register_module()
class Cached(BaseTransform):
    """Run transforms once for each image and keep their results in memory.

    For data that fit in memory after these transforms, with ``num_workers=0``. A worker process
    would keep its own copy of the images, and lose it when it ends: after every epoch, unless
    ``persistent_workers`` is set.

    The key of an image is its ``img_path``, or its ``sample_idx`` if it has no file, so use one
    instance only for one dataset. Later transforms get copies, which they may change in place.

    Args:
        transforms: Configs of the transforms, such as reading and resizing. They must not draw
            random numbers (an image would keep its first draw), nor change their input in place.

    Example:
        >>> pipeline = [
        ...     dict(
        ...         type='Cached',
        ...         transforms=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=16)],
        ...     ),
        ...     dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        ... ]
    """

    def __init__(self, transforms: list[dict]) -> None:
        self.transforms = [TRANSFORMS.build(transform) for transform in transforms]
        self._kept: dict[str | int, dict] = {}

    def transform(self, results: dict) -> dict | None:
        """Return the kept results for this image, or compute and keep them.

        None (a request for another image) is returned and not cached.
        """
        key = results['img_path'] if 'img_path' in results else results['sample_idx']
        if key not in self._kept:
            outcome = dict(results)
            for transform in self.transforms:
                outcome = transform(outcome)
                if outcome is None:
                    return None
            self._kept[key] = {
                name: value
                for name, value in outcome.items()
                if name not in results or value is not results[name]
            }
        return results | deepcopy(self._kept[key])


@TRANSFORMS.register_module()
class CIFARAutoAugment(BaseTransform):
    """AutoAugment with its 25 sub-policies for CIFAR-10 [lineage: CVPR 2019], by torchvision.

    MMPretrain has only the policies of ImageNet and RandAugment, and a config cannot name
    torchvision's policy, which is an enumeration. Reads and writes ``img``, an array (H, W, 3) of
    uint8 in RGB.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.

    Raises:
        UserError: If ``fill`` is out of range.
    """

    @validate_params(fill=Whole(at_least=0, at_most=255))
    def __init__(self, fill: int = 128) -> None:
        self.policy = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[fill] * 3)

    def transform(self, results: dict) -> dict:
        """Apply one sub-policy drawn by torch's generator."""
        results['img'] = np.array(self.policy(Image.fromarray(results['img'])))
        return results

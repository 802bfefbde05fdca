"""Read image files, and know what to do with a bad one."""

import io
import multiprocessing
import warnings
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from PIL import Image

from ecl.datasets.image_file import MAX_PIXELS, inspect_image
from ecl.errors import UserError
from ecl.registry import TRANSFORMS
from ecl.settings import check_choice


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read an image file into ``img``, an array (H, W, 3) of uint8 in BGR.

    CMYK, 16-bit and palette images become 8-bit colour; an animation gives its first frame. A file
    that is missing, no image, or claims more pixels than a photograph has stops the training
    with one line that names it; or, with ``bad='replace'``, another image of the dataset, drawn at
    random, stands in for it and :class:`~ecl.engine.hooks.BadImageHook` tells how many there were.

    OpenCV passes many truncated JPEG files, their lower part grey; ``tools/dataset/check.py`` finds
    them.

    Args:
        bad: What to do with a bad file: 'stop' or 'replace'. A test set must not be changed, so it
            always stops.

    Raises:
        UserError: If ``bad`` is neither, or at a bad file.

    Example:
        >>> pipeline = [dict(type='LoadImage', bad='replace'), dict(type='PackInputs')]
    """

    def __init__(self, bad: str = 'stop') -> None:
        check_choice(self, ('stop', 'replace'), bad=bad)
        self.bad = bad
        self.replaced = SharedCounter()

    def transform(self, results: dict) -> dict | None:
        """Read ``img_path``; None, at which the dataset draws another image, for a bad one."""
        path = results['img_path']
        try:
            image = _decode(get(path))
        # Whatever a damaged file makes a decoder raise, the file is what has to change.
        except Exception as error:
            fault = inspect_image(path).fault or ' '.join(str(error).split())
            if self.bad == 'stop':
                raise UserError(
                    f'{path}: {fault}; mend the file or take it out of the data, or train '
                    "without it by LoadImage's bad='replace'"
                ) from error
            self.replaced.add_one()
            warnings.warn(f'{path} was replaced: {fault}', stacklevel=1)
            return None
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


class SharedCounter:
    """A counter that the processes which load data share, and so do copies of a dataset."""

    def __init__(self) -> None:
        self._value: Any = multiprocessing.Value('q', 0)

    def add_one(self) -> None:
        """Count once more."""
        with self._value.get_lock():
            self._value.value += 1

    @property
    def value(self) -> int:
        """How often it was counted."""
        return self._value.value

    def __deepcopy__(self, memo: dict) -> 'SharedCounter':
        return self


def _decode(content: bytes) -> np.ndarray:
    width, height = Image.open(io.BytesIO(content)).size
    if width * height > MAX_PIXELS:
        raise ValueError(f'{width} x {height} pixels')
    image = mmcv.imfrombytes(content)
    if image is None:
        raise ValueError('OpenCV cannot decode it')
    return image

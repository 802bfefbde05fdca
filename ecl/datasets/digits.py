"""Handwritten digits of scikit-learn: real images without a download."""

from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from sklearn.datasets import load_digits

from ecl.registry import DATASETS
from ecl.settings import OneOf, Whole, validate_params


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 handwritten digits of 8 x 8 pixels in ten classes.

    The test split holds ``test_per_class`` images of each class, a fixed random choice. All others
    form the train split. An image is ``img``, shape (8, 8, 3), uint8, its three channels equal, so
    BGR and RGB are the same.

    Args:
        split: 'train' or 'test'.
        test_per_class: Test images of each class, 1 to 173. The smallest class has 174 images.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If ``split`` or ``test_per_class`` is out of range.

    Example:
        >>> Digits(split='test')[0]['img'].shape
        (8, 8, 3)
    """

    METAINFO = {'classes': tuple('0123456789')}

    @validate_params(split=OneOf('train', 'test'), test_per_class=Whole(at_least=1, at_most=173))
    def __init__(self, split: str = 'train', test_per_class: int = 50, **kwargs: Any) -> None:
        self.split = split
        self.test_per_class = test_per_class
        # Serialized annotations save memory with many workers; here they would only cost time.
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """Return images and labels of the split, in scikit-learn's order."""
        digits = load_digits()
        labels = digits.target
        tested = np.zeros(len(labels), dtype=bool)
        for label in range(10):
            members = np.random.default_rng(label).permutation(np.flatnonzero(labels == label))
            tested[members[: self.test_per_class]] = True
        # A pixel counts the dark points of a scanned 4 x 4 block, 0 to 16.
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return [
            {'img': np.repeat(grey[i, :, :, None], 3, axis=2), 'gt_label': int(labels[i])}
            for i in np.flatnonzero(tested == (self.split == 'test'))
        ]

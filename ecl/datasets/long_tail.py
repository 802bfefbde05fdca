"""Make a dataset long-tailed, or take one that already is."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from torch.utils.data import Dataset

from ecl.datasets.class_counts import count_classes, gt_labels
from ecl.datasets.protocol import describe
from ecl.errors import UserError
from ecl.registry import DATASETS
from ecl.shots import shot_groups


def long_tail_counts(num_classes: int, max_per_class: int, imbalance_factor: float) -> np.ndarray:
    """Images of each class under the exponential profile [lineage].

    ``n_i = int(max_per_class * (1 / imbalance_factor) ** (i / (num_classes - 1)))``

    Args:
        num_classes: Number of classes C, at least 1.
        max_per_class: Images of class 0, the largest; at least 1.
        imbalance_factor: Ratio of the largest class to the smallest, at least 1.

    Returns:
        Counts in class order, shape (C,), int64; they never grow. A profile too steep for its
        largest class ends in zeros.

    Raises:
        UserError: If one of the settings is out of its range.

    Example:
        >>> long_tail_counts(10, 5000, 100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if num_classes < 1:
        raise UserError(f'a long-tailed dataset needs at least one class, not {num_classes}')
    if max_per_class < 1:
        raise UserError(f'max_per_class must be at least 1, not {max_per_class}')
    if not imbalance_factor >= 1:
        raise UserError(
            f'imbalance_factor must be at least 1, not {imbalance_factor}: it is the number of '
            'images of the largest class over that of the smallest'
        )
    position = np.arange(num_classes) / max(num_classes - 1, 1)
    exact = max_per_class * (1 / imbalance_factor) ** position
    # 49 * (1 / 49) falls just short of 1 in floating point, and would cut a whole image.
    return np.floor(exact + 1e-9).astype(np.int64)


@DATASETS.register_module()
class LongTailDataset(Dataset):
    """A long-tailed training set drawn from any classification dataset.

    With an ``imbalance_factor``, class i keeps ``long_tail_counts(...)[i]`` of its images, chosen
    at random. The choice depends on nothing but ``seed`` and the class, so with the same seed and
    ``max_per_class`` the images of a larger imbalance factor are a subset of those of a smaller.
    Without one, the dataset is taken as it is, as for data that come long-tailed. Images keep the
    order they have in the source.

    Args:
        dataset: The source: a config or a dataset, wrappers included.
        imbalance_factor: Images of the largest class over those of the smallest, at least 1. None
            takes the dataset as it is.
        max_per_class: Images of class 0. Defaults to the size of the largest class of the source.
        seed: Seed of the random choice, at least 0.
        lazy_init: Whether to leave reading the source to :meth:`full_init`.

    Raises:
        UserError: If a setting is out of range, or a class has too few images for the profile.

    Example:
        >>> dataset = LongTailDataset(
        ...     dict(type='Digits', split='train'), imbalance_factor=50, max_per_class=100)
        >>> dataset.class_counts
        [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    """

    def __init__(
        self,
        dataset: dict | Dataset,
        imbalance_factor: float | None = None,
        max_per_class: int | None = None,
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        if imbalance_factor is None and max_per_class is not None:
            raise UserError(
                f'LongTailDataset: max_per_class={max_per_class} does nothing without '
                'imbalance_factor; set that too (1 keeps the classes equal), or leave both out'
            )
        if seed < 0:
            raise UserError(f'LongTailDataset: seed must be at least 0, not {seed}')
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.imbalance_factor = imbalance_factor
        self.max_per_class = max_per_class
        self.seed = seed
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the source and draw the subset; a second call does nothing."""
        if self._fully_initialized:
            return
        labels = gt_labels(self.dataset)
        available = np.array(count_classes(self.dataset))
        if self.imbalance_factor is None:
            chosen = np.arange(len(labels))
        else:
            wanted = self._profile(available, self.imbalance_factor)
            chosen = self._draw(labels, available, wanted)
            self._largest = int(wanted[0])
        self._labels = labels[chosen]
        self._class_counts = np.bincount(self._labels, minlength=len(available)).tolist()
        self._narrow(chosen)
        self._fully_initialized = True

    @property
    def metainfo(self) -> dict:
        """Metainfo of the source, class names included where it knows them."""
        return copy.deepcopy(getattr(self.dataset, 'metainfo', {}))

    @property
    def CLASSES(self) -> Sequence[str] | None:
        """Class names in label order, or None where the source has none."""
        return self.metainfo.get('classes')

    @property
    @force_full_init
    def class_counts(self) -> list[int]:
        """Images of each class, C plain integers."""
        return list(self._class_counts)

    @property
    def shot_groups(self) -> dict[str, np.ndarray]:
        """Class indices of the many-, medium- and few-shot groups."""
        return shot_groups(self.class_counts)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of one image, in the form of the source."""
        return self.dataset.get_data_info(int(self._positions[idx]))

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Label of one image, as a list of one."""
        return [int(self._labels[idx])]

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Labels of all images, shape (N,), int64."""
        return self._labels.copy()

    @force_full_init
    def get_subset(self, indices: Sequence[int]) -> 'LongTailDataset':
        """A copy with the images at ``indices`` alone, as KFoldDataset asks for."""
        part = copy.copy(self)
        part._labels = self._labels[indices]
        part._class_counts = np.bincount(part._labels, minlength=len(self._class_counts)).tolist()
        part._narrow(self._positions[indices])
        return part

    @property
    @force_full_init
    def subset_rule(self) -> str | None:
        """How the images were chosen, in words; None for a source taken as it is."""
        if self.imbalance_factor is None:
            return None
        return f'random, seed {self.seed}, at most {self._largest} per class'

    def protocol(self) -> dict[str, str | int | float]:
        """How this dataset came about, in plain values: see :func:`ecl.datasets.describe`."""
        return describe(self)

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        return self.dataset[int(self._positions[idx])]

    @force_full_init
    def __len__(self) -> int:
        return len(self._labels)

    def _profile(self, available: np.ndarray, imbalance_factor: float) -> np.ndarray:
        """Images wanted of each class; a UserError where the source cannot give them."""
        size = int(available.max()) if self.max_per_class is None else self.max_per_class
        wanted = long_tail_counts(len(available), size, imbalance_factor)
        if not wanted.all():
            raise UserError(
                f'imbalance_factor={imbalance_factor:g} leaves {self._name(int(wanted.argmin()))} '
                f'without images when the largest class has {size}; '
                f'set imbalance_factor to {size} or less'
            )
        lacking = np.flatnonzero(wanted > available)
        if lacking.size:
            first = int(lacking[0])
            raise UserError(
                f'{self._name(first)} of {type(self.dataset).__name__} has {available[first]} '
                f'images but imbalance_factor={imbalance_factor:g} with '
                f'max_per_class={size} needs {wanted[first]}; '
                + self._remedy(available, size, imbalance_factor)
            )
        return wanted

    def _remedy(self, available: np.ndarray, size: int, imbalance_factor: float) -> str:
        for smaller in range(size - 1, 0, -1):
            counts = long_tail_counts(len(available), smaller, imbalance_factor)
            if not counts.all():
                break
            if (counts <= available).all():
                return f'set max_per_class to {smaller} or less'
        return 'raise imbalance_factor, or take the data as they are (imbalance_factor=None)'

    def _name(self, label: int) -> str:
        names = self.CLASSES
        return f'class {label}' if names is None else f"class '{names[label]}' ({label})"

    def _draw(self, labels: np.ndarray, available: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        by_class = np.split(np.argsort(labels, kind='stable'), np.cumsum(available)[:-1])
        chosen = [
            members[np.random.default_rng([self.seed, label]).permutation(len(members))[:number]]
            for label, (members, number) in enumerate(zip(by_class, wanted, strict=True))
        ]
        return np.sort(np.concatenate(chosen))

    def _narrow(self, positions: np.ndarray) -> None:
        """Leave only the images at ``positions`` of the source, in that order."""
        if isinstance(self.dataset, BaseDataset) and len(positions) < len(self.dataset):
            # The source itself shrinks: it replaces an image it cannot read by another of its
            # own, and that one must belong to the subset too.
            self.dataset = self.dataset.get_subset(positions.tolist())
            positions = np.arange(len(positions))
        self._positions = positions

"""Long-tailed subsets of any classification dataset."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from torch.utils.data import Dataset

from ecl.datasets.class_counts import count_classes, gt_labels
from ecl.datasets.profiles import PROFILES, SUBSETS, long_tail_counts
from ecl.datasets.protocol import describe
from ecl.errors import UserError
from ecl.registry import DATASETS
from ecl.settings import Number, OneOf, Whole, validate_params


@DATASETS.register_module()
class LongTailDataset(Dataset):
    """A long-tailed dataset drawn from any classification dataset.

    With an ``imbalance_factor``, class i keeps ``long_tail_counts(...)[i]`` of its images. With
    the same ``subset``, ``seed`` and ``max_per_class``, the images of a larger imbalance factor are
    a subset of those of a smaller one. Without an ``imbalance_factor`` the dataset is used as it
    is, for data that are long-tailed already. Images keep the order of the source.

    From a balanced test set it draws the distributions of test-agnostic evaluation: classes that
    are frequent in training are frequent ('forward') or rare ('backward') in testing.

    Args:
        dataset: The source: a config or a dataset, wrappers included.
        imbalance_factor: Images of the largest class over those of the smallest, at least 1. None
            uses the dataset as it is.
        max_per_class: Images of the largest class. Defaults to the size of the largest class of the
            source.
        subset: Which images of a class are kept: 'random'; 'cao', the shuffle of LDAM-DRW and most
            later code (published with seed 0); 'first', the first in the order of the source.
            Results on different subsets of CIFAR-LT differ by 1.5 points and more.
        profile: 'exponential', 'step' or 'pareto'; see :func:`long_tail_counts`.
        order: 'forward' makes the first class the largest, 'backward' the last.
        ranked_by: A dataset (or its config) whose class sizes define the order of the classes;
            usually the training set. Defaults to the order of the labels.
        seed: Seed of the choice, at least 0.
        lazy_init: Whether the source is read later, by :meth:`full_init`.

    Raises:
        UserError: If an argument is out of range, or a class has too few images for the profile.

    Example:
        >>> dataset = LongTailDataset(
        ...     dict(type='Digits', split='train'), imbalance_factor=50, max_per_class=100)
        >>> dataset.class_counts
        [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
        >>> testing = dict(type='Digits', split='test')
        >>> LongTailDataset(testing, imbalance_factor=5, order='backward').class_counts
        [10, 11, 14, 17, 20, 24, 29, 34, 41, 50]
    """

    @validate_params(
        imbalance_factor=Number(at_least=1),
        max_per_class=Whole(at_least=1),
        subset=OneOf(*SUBSETS),
        profile=OneOf(*PROFILES),
        order=OneOf('forward', 'backward'),
        seed=Whole(at_least=0),
    )
    def __init__(
        self,
        dataset: dict | Dataset,
        imbalance_factor: float | None = None,
        max_per_class: int | None = None,
        subset: str = 'random',
        profile: str = 'exponential',
        order: str = 'forward',
        ranked_by: dict | Dataset | None = None,
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        if imbalance_factor is None and max_per_class is not None:
            raise UserError(
                f'LongTailDataset: max_per_class={max_per_class} has no effect without '
                'imbalance_factor. Set both (imbalance_factor=1 keeps the classes equal) or none.'
            )
        self.dataset: Any = _built(dataset)
        self.imbalance_factor = imbalance_factor
        self.max_per_class = max_per_class
        self.subset = subset
        self.profile = profile
        self.order = order
        self.ranked_by: Any = _built(ranked_by)
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
            wanted = self._wanted(available, self.imbalance_factor)
            chosen = self._draw(labels, available, wanted)
            self._largest = int(wanted.max())
        self._labels = labels[chosen]
        self._class_counts = np.bincount(self._labels, minlength=len(available)).tolist()
        self._narrow(chosen)
        self._fully_initialized = True

    @property
    def metainfo(self) -> dict:
        """Metainfo of the source, with the class names where it has them."""
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
    @force_full_init
    def source_indices(self) -> np.ndarray:
        """Indices of the images in ``self.dataset``, shape (N,), int64.

        If the source is a dataset of MMEngine, it is reduced to the subset, so its own indices
        start from 0.
        """
        return self._positions

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return the annotation of one image, in the form of the source."""
        return self.dataset.get_data_info(int(self._positions[idx]))

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of one image, as a list of one."""
        return [int(self._labels[idx])]

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of all images, shape (N,), int64."""
        return self._labels.copy()

    @force_full_init
    def get_subset(self, indices: Sequence[int]) -> 'LongTailDataset':
        """Return a copy with the images at ``indices`` alone, for KFoldDataset."""
        part = copy.copy(self)
        part._labels = self._labels[indices]
        part._class_counts = np.bincount(part._labels, minlength=len(self._class_counts)).tolist()
        part._narrow(self._positions[indices])
        return part

    @property
    @force_full_init
    def subset_rule(self) -> str | None:
        """Rule by which the images were chosen, in words; None for a source used as it is."""
        if self.imbalance_factor is None:
            return None
        steps = [self.subset]
        if self.subset != 'first':
            steps.append(f'seed {self.seed}')
        steps.append(f'{self.profile} profile')
        if self.order == 'backward':
            steps.append('backward')
        if self.ranked_by is not None:
            ranking = describe(self.ranked_by)
            steps.append(f'classes ranked as in {ranking.get("split") or ranking["source"]}')
        return ', '.join([*steps, f'at most {self._largest} per class'])

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        return self.dataset[int(self._positions[idx])]

    @force_full_init
    def __len__(self) -> int:
        return len(self._labels)

    def _wanted(self, available: np.ndarray, imbalance_factor: float) -> np.ndarray:
        """Return the number of images to keep of each class; raise if the source has too few."""
        size = int(available.max()) if self.max_per_class is None else self.max_per_class
        ranks = self._ranks(len(available))
        wanted = self._counts(ranks, size, imbalance_factor)
        if not wanted.all():
            raise UserError(
                f'imbalance_factor={imbalance_factor:g} leaves {self._name(int(wanted.argmin()))} '
                f'without images when the largest class has {size}. '
                f'Set imbalance_factor to {size} or less.'
            )
        lacking = np.flatnonzero(wanted > available)
        if lacking.size:
            first = int(lacking[0])
            raise UserError(
                f'{self._name(first)} of {type(self.dataset).__name__} has {available[first]} '
                f'images but imbalance_factor={imbalance_factor:g} with '
                f'max_per_class={size} needs {wanted[first]}. '
                + self._remedy(available, ranks, size, imbalance_factor)
            )
        return wanted

    def _ranks(self, num_classes: int) -> np.ndarray:
        """Return the rank of each class, 0 for the largest one; shape (C,)."""
        ranks = np.arange(num_classes)
        if self.ranked_by is not None:
            sizes = np.array(count_classes(self.ranked_by))
            if len(sizes) != num_classes:
                raise UserError(
                    f'LongTailDataset.ranked_by: got {len(sizes)} classes, expected {num_classes} '
                    'as in the dataset.'
                )
            ranks = np.argsort(np.argsort(-sizes, kind='stable'))
        return ranks if self.order == 'forward' else num_classes - 1 - ranks

    def _counts(self, ranks: np.ndarray, size: int, imbalance_factor: float) -> np.ndarray:
        return long_tail_counts(len(ranks), size, imbalance_factor, self.profile)[ranks]

    def _remedy(
        self, available: np.ndarray, ranks: np.ndarray, size: int, imbalance_factor: float
    ) -> str:
        for smaller in range(size - 1, 0, -1):
            counts = self._counts(ranks, smaller, imbalance_factor)
            if not counts.all():
                break
            if (counts <= available).all():
                return f'Set max_per_class to {smaller} or less.'
        return 'Raise imbalance_factor, or use the data as they are (imbalance_factor=None).'

    def _name(self, label: int) -> str:
        names = self.CLASSES
        return f'class {label}' if names is None else f"class '{names[label]}' ({label})"

    def _draw(self, labels: np.ndarray, available: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        members = np.split(np.argsort(labels, kind='stable'), np.cumsum(available)[:-1])
        return np.sort(np.concatenate(SUBSETS[self.subset](members, wanted.tolist(), self.seed)))

    def _narrow(self, positions: np.ndarray) -> None:
        """Keep only the images at ``positions`` of the source, in that order."""
        if isinstance(self.dataset, BaseDataset) and len(positions) < len(self.dataset):
            # The source itself is reduced: it may replace an unreadable image by another of its
            # images, which must also belong to the subset.
            self.dataset = self.dataset.get_subset(positions.tolist())
            positions = np.arange(len(positions))
        self._positions = positions


def _built(dataset: Any) -> Any:
    return DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

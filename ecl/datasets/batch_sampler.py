"""Batch sampler with several images of each class in a batch."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from ecl.datasets.class_counts import gt_labels
from ecl.datasets.samplers import cycle, members_by_class
from ecl.errors import UserError
from ecl.registry import DATA_SAMPLERS
from ecl.settings import SettingError, Whole, validate_params


@DATA_SAMPLERS.register_module()
class BalancedBatchSampler(Sampler):
    """Batches of ``batch_size / images_per_class`` classes with ``images_per_class`` images each.

    A batch contains the classes that have been shown least in the epoch so far; ties are broken at
    random. So the classes differ by at most one batch over an epoch. The images of a class are
    shuffled again after all have been shown. A class with fewer than ``images_per_class`` images
    repeats some within a batch.

    The order depends only on the seed and epoch of the sampler that it replaces. Process r of R
    takes the batches r, r + R, r + 2R and so on.

    Args:
        sampler: The sampler of the data loader, MMEngine's DefaultSampler. It gives the dataset,
            seed, epoch and share of this process.
        batch_size: Images of a batch in one process, from the data loader.
        images_per_class: Images of each class in a batch, at least 1. ``batch_size`` must be a
            multiple of it.

    Raises:
        UserError: If ``batch_size`` is not such a multiple, or there are too few classes.

    Example:
        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     sampler=dict(type='DefaultSampler', shuffle=True),
        ...     batch_sampler=dict(type='BalancedBatchSampler', images_per_class=4))
    """

    rebalances = True

    @validate_params(batch_size=Whole(at_least=1), images_per_class=Whole(at_least=1))
    def __init__(self, sampler: Any, batch_size: int, images_per_class: int) -> None:
        if batch_size % images_per_class:
            needed = f'a divisor of batch_size, {batch_size}'
            raise SettingError(self, 'images_per_class', images_per_class, needed)
        if not hasattr(sampler, 'dataset'):
            kind = f'a sampler with a dataset, such as DefaultSampler, not {type(sampler).__name__}'
            raise UserError(f'BalancedBatchSampler.sampler: expected {kind}.')
        labels = gt_labels(sampler.dataset)
        self._members = members_by_class(labels) if len(labels) else []
        self.sampler = sampler
        self.batch_size = batch_size
        self.images_per_class = images_per_class
        self.classes_per_batch = batch_size // images_per_class
        if self.classes_per_batch > len(self._members):
            raise UserError(
                f'BalancedBatchSampler: batch_size={batch_size} with {images_per_class} images of '
                f'each class needs {self.classes_per_batch} classes: got {len(self._members)}. '
                'Raise images_per_class or lower batch_size.'
            )
        self.num_batches = math.ceil(len(labels) / batch_size / sampler.world_size)

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.sampler.seed, self.sampler.epoch])
        batches = self._batches(self.num_batches * self.sampler.world_size, rng)
        return iter(batches[self.sampler.rank :: self.sampler.world_size].tolist())

    def _batches(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices into the dataset for all processes, shape (number, batch_size)."""
        shown = np.zeros(len(self._members), dtype=np.int64)
        classes = np.empty((number, self.classes_per_batch), dtype=np.int64)
        for batch in classes:
            batch[:] = np.argsort(shown + rng.random(len(shown)))[: self.classes_per_batch]
            shown[batch] += 1
        images = [
            cycle(members, self.images_per_class * times, rng).reshape(times, -1)
            for members, times in zip(self._members, shown.tolist(), strict=True)
        ]
        order = np.empty((classes.size, self.images_per_class), dtype=np.int64)
        order[np.argsort(classes, axis=None, kind='stable')] = np.concatenate(images)
        return order.reshape(number, -1)

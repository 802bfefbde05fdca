"""Sampling that shows every class equally often."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ecl.datasets.class_counts import gt_labels
from ecl.errors import UserError
from ecl.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(Sampler):
    """Draws every class equally often, and within a class every image equally often.

    An epoch is one order over all processes. It runs through the classes in rounds, shuffled anew
    each round, and takes from each class its next image, the images of a class being shuffled
    anew whenever all have been shown. So over an epoch the classes differ by one draw at most,
    and so do the images of a class. Process r of R takes the draws r, r + R, r + 2R and so on.
    Classes without images are passed over.

    The labels the model then sees are balanced: a loss that corrects for the class counts, such
    as BalancedSoftmaxLoss, would correct a second time.

    Args:
        dataset: The dataset, wrappers included.
        seed: Seed of the order, at least 0 and the same in every process. Defaults to one that
            the processes agree on.
        num_samples: Draws of an epoch over all processes, rounded up to a multiple of their
            number. Defaults to the size of the dataset.

    Raises:
        UserError: If the dataset is empty or ``num_samples`` is below 1.
    """

    def __init__(
        self, dataset: Any, seed: int | None = None, num_samples: int | None = None
    ) -> None:
        labels = gt_labels(dataset)
        if not len(labels):
            raise UserError(f'ClassAwareSampler: {type(dataset).__name__} has no images')
        if num_samples is not None and num_samples < 1:
            raise UserError(f'ClassAwareSampler: num_samples must be at least 1, not {num_samples}')
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = math.ceil((num_samples or len(labels)) / self.world_size)
        _, sizes = np.unique(labels, return_counts=True)
        by_class = np.argsort(labels, kind='stable')
        self._members = np.split(by_class, np.cumsum(sizes)[:-1])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, that the next iteration follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        return iter(self._order()[self.rank :: self.world_size].tolist())

    def _order(self) -> np.ndarray:
        """Indices into the dataset for all processes, shape (num_samples * world_size,)."""
        rng = np.random.default_rng([self.seed, self.epoch])
        total = self.num_samples * self.world_size
        rounds = math.ceil(total / len(self._members))
        classes = np.tile(np.arange(len(self._members)), (rounds, 1))
        classes = rng.permuted(classes, axis=1).ravel()[:total]
        draws = np.bincount(classes, minlength=len(self._members))
        images = [
            _cycle(members, number, rng)
            for members, number in zip(self._members, draws, strict=True)
        ]
        order = np.empty(total, dtype=np.int64)
        order[np.argsort(classes, kind='stable')] = np.concatenate(images)
        return order


def _cycle(members: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """``number`` draws from ``members``: shuffled, over and over."""
    passes = np.tile(members, (math.ceil(number / len(members)), 1))
    return rng.permuted(passes, axis=1).ravel()[:number]

"""What the samplers share: one order an epoch, cut for the processes."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ecl.datasets.class_counts import gt_labels
from ecl.errors import UserError
from ecl.settings import check_whole


class EpochSampler(Sampler):
    """A sampler whose order depends on seed and epoch alone.

    An epoch is one order over all processes; process r of R takes the draws r, r + R, r + 2R and
    so on. So a resumed training, which starts at an epoch, goes on with the same draws.

    Args:
        dataset: The dataset, wrappers included.
        seed: Seed of the order, at least 0 and the same in every process. Defaults to one that
            the processes agree on.
        num_samples: Draws of an epoch over all processes, rounded up to a multiple of their
            number. Defaults to the size of the dataset.

    Raises:
        UserError: If the dataset is empty, ``num_samples`` is below 1 or ``seed`` below 0.
    """

    #: Whether the classes are shown in other shares than they have in the data. A loss that
    #: corrects for the class counts would then correct a second time.
    rebalances = True

    def __init__(
        self, dataset: Any, seed: int | None = None, num_samples: int | None = None
    ) -> None:
        self.labels = gt_labels(dataset)
        if not len(self.labels):
            raise UserError(f'{type(self).__name__}: {type(dataset).__name__} has no images')
        if num_samples is not None:
            check_whole(self, at_least=1, num_samples=num_samples)
        if seed is not None:
            check_whole(self, at_least=0, seed=seed)
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = math.ceil((num_samples or len(self.labels)) / self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, that the next iteration follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = self.order(self.num_samples * self.world_size, rng)
        return iter(order[self.rank :: self.world_size].tolist())

    @abstractmethod
    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Indices into the dataset for all processes.

        Args:
            total: Their number.
            rng: Source of randomness, the same in every process.

        Returns:
            Shape (total,), int64.
        """

"""Sampling that moves from the data's distribution to the balanced one."""

from typing import Any

import numpy as np

from ecl.datasets.samplers.class_aware import ClassWeightedSampler
from ecl.registry import DATA_SAMPLERS
from ecl.settings import check_whole


@DATA_SAMPLERS.register_module()
class ProgressivelyBalancedSampler(ClassWeightedSampler):
    """Samples by image at first, by class at last [lineage: decoupling, ICLR 2020].

    In epoch t of T a class is drawn with probability ``(1 - t / T) * n_c / N + t / T / C``.

    Args:
        dataset: See :class:`EpochSampler`.
        max_epochs: T, at least 1: the epochs of the training. Later ones are balanced.
        seed, num_samples: See :class:`EpochSampler`.

    Raises:
        UserError: If the dataset is empty, or ``max_epochs`` or ``num_samples`` is below 1.

    Example:
        >>> sampler = dict(type='ProgressivelyBalancedSampler', max_epochs=200)
    """

    def __init__(
        self,
        dataset: Any,
        max_epochs: int,
        seed: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        check_whole(self, at_least=1, max_epochs=max_epochs)
        super().__init__(dataset, seed, num_samples)
        self.max_epochs = max_epochs

    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """The mixture of both distributions in the current epoch."""
        progress = min(self.epoch / self.max_epochs, 1)
        return (1 - progress) * counts / counts.sum() + progress / len(counts)

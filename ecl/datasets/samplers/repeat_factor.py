"""Sampling that repeats the images of rare classes."""

from typing import Any

import numpy as np

from ecl.datasets.class_counts import gt_labels
from ecl.datasets.samplers.draws import stochastic_round
from ecl.datasets.samplers.epoch_sampler import EpochSampler
from ecl.registry import DATA_SAMPLERS
from ecl.settings import check_numbers


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(EpochSampler):
    """Shows every image at least once an epoch, and those of rare classes more often [lineage:
    LVIS].

    An image of class c counts ``max(1, sqrt(threshold / f_c))`` times, where ``f_c`` is the share
    of its class. Fractions are rounded up or down at random, anew in each epoch, so that the mean
    is kept; the number of draws is the same in all epochs.

    Args:
        dataset: See :class:`EpochSampler`.
        threshold: Share of the images, in (0, 1], below which a class is rare.
        seed: See :class:`EpochSampler`.

    Raises:
        UserError: If the dataset is empty or ``threshold`` is out of range.

    Example:
        >>> sampler = dict(type='RepeatFactorSampler', threshold=0.01)
    """

    def __init__(self, dataset: Any, threshold: float, seed: int | None = None) -> None:
        check_numbers(self, above=0, at_most=1, threshold=threshold)
        factors = _repeat_factors(gt_labels(dataset), threshold)
        # A hair less, so that a sum of whole factors stays whole in floating point.
        draws = int(np.ceil(factors.sum() - 1e-6)) if len(factors) else None
        super().__init__(dataset, seed, draws)
        self._factors = factors
        self.rebalances = bool(self._factors.max() > 1)

    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Indices into the dataset for all processes, shape (total,)."""
        # In random order: rounding must not tie an image to its neighbours in the dataset.
        images = rng.permutation(len(self._factors))
        repeats = stochastic_round(self._factors[images], total, rng)
        return rng.permutation(np.repeat(images, repeats))


def _repeat_factors(labels: np.ndarray, threshold: float) -> np.ndarray:
    shares = np.bincount(labels, minlength=1)[labels] / max(len(labels), 1)
    return np.maximum(1, np.sqrt(threshold / shares))

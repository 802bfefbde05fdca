"""Sampling by class: from every image alike to every class alike."""

from abc import abstractmethod
from typing import Any

import numpy as np

from ecl.datasets.samplers.draws import cycle, members_by_class, spread, stochastic_round
from ecl.datasets.samplers.epoch_sampler import EpochSampler
from ecl.registry import DATA_SAMPLERS
from ecl.settings import check_numbers


class ClassWeightedSampler(EpochSampler):
    """Draws classes by weight, and within a class every image equally often.

    A class gets its share of the epoch, rounded up or down at random, spread evenly over the
    epoch; the images of a class are shuffled anew whenever all have been shown. Classes without
    images are passed over.

    Args:
        dataset, seed, num_samples: See :class:`EpochSampler`.
    """

    def __init__(
        self, dataset: Any, seed: int | None = None, num_samples: int | None = None
    ) -> None:
        super().__init__(dataset, seed, num_samples)
        self._members = members_by_class(self.labels)
        self._counts = np.array([len(members) for members in self._members], dtype=float)

    @abstractmethod
    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """Weights of the classes in the current epoch.

        Args:
            counts: Images of each class that has any, shape (M,).

        Returns:
            Positive weights, shape (M,); only their ratios count.
        """

    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Indices into the dataset for all processes, shape (total,)."""
        draws = stochastic_round(self.class_weights(self._counts), total, rng)
        images = [
            cycle(members, number, rng)
            for members, number in zip(self._members, draws, strict=True)
        ]
        order = np.empty(total, dtype=np.int64)
        order[np.argsort(spread(draws, rng), kind='stable')] = np.concatenate(images)
        return order


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(ClassWeightedSampler):
    """Draws a class with a probability that grows with a power of its size [lineage].

    The power turns sampling by image (1) over the square root (0.5) into sampling by class (0):
    there the numbers of draws of any two classes differ by one at most over an epoch.

    With a power below 1 the labels that the model sees are rebalanced: a loss that corrects for
    the class counts, such as BalancedSoftmaxLoss, would correct a second time.

    Args:
        dataset, seed, num_samples: See :class:`EpochSampler`.
        exponent: The power, 0 to 1.

    Raises:
        UserError: If the dataset is empty, ``num_samples`` is below 1 or ``exponent`` is out of
            range.

    Example:
        >>> train_dataloader = dict(sampler=dict(type='ClassAwareSampler', exponent=0.5))
    """

    def __init__(
        self,
        dataset: Any,
        seed: int | None = None,
        num_samples: int | None = None,
        exponent: float = 0.0,
    ) -> None:
        check_numbers(self, at_least=0, at_most=1, exponent=exponent)
        super().__init__(dataset, seed, num_samples)
        self.exponent = exponent
        self.rebalances = exponent < 1

    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """``counts ** exponent``."""
        return counts**self.exponent

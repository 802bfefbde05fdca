"""Samplers for long-tailed data; the order depends only on seed and epoch."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ecl.datasets.class_counts import gt_labels
from ecl.errors import UserError
from ecl.registry import DATA_SAMPLERS
from ecl.settings import Number, Whole, validate_params


class EpochSampler(Sampler):
    """Base class: one order per epoch, divided among the processes.

    Process r of R takes the draws r, r + R, r + 2R and so on. A resumed training, which starts at
    an epoch, continues with the same draws. With a plain DataLoader, call ``set_epoch`` before each
    epoch, as with PyTorch's DistributedSampler; otherwise every epoch has the same order as the
    first.

    Args:
        dataset: The dataset, wrappers included.
        seed: Seed of the order, at least 0 and the same in every process. By default the processes
            agree on one.
        num_samples: Draws of an epoch over all processes, rounded up to a multiple of their
            number. Defaults to the size of the dataset.

    Raises:
        UserError: If the dataset is empty, ``num_samples`` is below 1 or ``seed`` below 0.
    """

    #: Whether the sampler changes the class frequencies. A loss that corrects for the class counts
    #: would then correct a second time.
    rebalances = True

    @validate_params(seed=Whole(at_least=0), num_samples=Whole(at_least=1))
    def __init__(
        self, dataset: Any, seed: int | None = None, num_samples: int | None = None
    ) -> None:
        self.labels = gt_labels(dataset)
        if not len(self.labels):
            raise UserError(f'{type(self).__name__}: {type(dataset).__name__} has no images')
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = math.ceil((num_samples or len(self.labels)) / self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, and with it the order, of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = self.order(self.num_samples * self.world_size, rng)
        return iter(order[self.rank :: self.world_size].tolist())

    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices into the dataset for all processes, shape (total,), int64.

        Args:
            total: Their number.
            rng: Random generator, in the same state in every process.
        """
        raise NotImplementedError


class ClassWeightedSampler(EpochSampler):
    """Base class: classes are drawn by weight, the images of a class equally often.

    A class gets its share of the epoch, rounded up or down at random, spread evenly over the
    epoch. The images of a class are shuffled again after all have been shown. Classes without
    images are skipped.

    Args:
        dataset, seed, num_samples: See :class:`EpochSampler`.
    """

    def __init__(
        self, dataset: Any, seed: int | None = None, num_samples: int | None = None
    ) -> None:
        super().__init__(dataset, seed, num_samples)
        self._members = members_by_class(self.labels)
        self._counts = np.array([len(members) for members in self._members], dtype=float)

    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """Compute the weights of the classes in the current epoch.

        Args:
            counts: Images of each class that has any, shape (M,).

        Returns:
            Positive weights, shape (M,); only their ratios matter.
        """
        raise NotImplementedError

    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices into the dataset for all processes, shape (total,)."""
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
    """Class-aware sampling: the probability of a class is a power of its size [lineage].

    The power goes from sampling by image (1) over the square root (0.5) to sampling by class (0).
    With 0 the numbers of draws of two classes differ by at most one in an epoch.

    A power below 1 rebalances the labels that the model sees. A loss that corrects for the class
    counts, such as BalancedSoftmaxLoss, would then correct a second time.

    Args:
        dataset, seed, num_samples: See :class:`EpochSampler`.
        exponent: The power, 0 to 1.

    Raises:
        UserError: If the dataset is empty or an argument is out of range.

    Example:
        >>> train_dataloader = dict(sampler=dict(type='ClassAwareSampler', exponent=0.5))
    """

    @validate_params(exponent=Number(at_least=0, at_most=1))
    def __init__(
        self,
        dataset: Any,
        seed: int | None = None,
        num_samples: int | None = None,
        exponent: float = 0.0,
    ) -> None:
        super().__init__(dataset, seed, num_samples)
        self.exponent = exponent
        self.rebalances = exponent < 1

    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """Return ``counts ** exponent``, shape (M,)."""
        return counts**self.exponent


@DATA_SAMPLERS.register_module()
class ProgressivelyBalancedSampler(ClassWeightedSampler):
    """Progressively balanced sampling: from sampling by image to sampling by class.

    In epoch t of T a class is drawn with probability ``(1 - t / T) * n_c / N + t / T / C``
    [lineage: Kang et al., ICLR 2020].

    Args:
        dataset: See :class:`EpochSampler`.
        max_epochs: T, at least 1: the epochs of the training. Later epochs are balanced.
        seed, num_samples: See :class:`EpochSampler`.

    Raises:
        UserError: If the dataset is empty or an argument is out of range.

    Example:
        >>> sampler = dict(type='ProgressivelyBalancedSampler', max_epochs=200)
    """

    @validate_params(max_epochs=Whole(at_least=1))
    def __init__(
        self,
        dataset: Any,
        max_epochs: int,
        seed: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(dataset, seed, num_samples)
        self.max_epochs = max_epochs

    def class_weights(self, counts: np.ndarray) -> np.ndarray:
        """Return the mixture of both distributions in the current epoch, shape (M,)."""
        progress = min(self.epoch / self.max_epochs, 1)
        return (1 - progress) * counts / counts.sum() + progress / len(counts)


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(EpochSampler):
    """Repeat factor sampling: every image once per epoch, images of rare classes more often.

    An image of class c is shown ``max(1, sqrt(threshold / f_c))`` times, where ``f_c`` is the share
    of its class [lineage: LVIS]. Fractions are rounded up or down at random in each epoch, so that
    the mean is kept. The number of draws is the same in all epochs.

    Args:
        dataset: See :class:`EpochSampler`.
        threshold: Share of the images, in (0, 1], below which a class is rare.
        seed: See :class:`EpochSampler`.

    Raises:
        UserError: If the dataset is empty or an argument is out of range.

    Example:
        >>> sampler = dict(type='RepeatFactorSampler', threshold=0.01)
    """

    @validate_params(threshold=Number(above=0, at_most=1))
    def __init__(self, dataset: Any, threshold: float, seed: int | None = None) -> None:
        super().__init__(dataset, seed)
        shares = np.bincount(self.labels)[self.labels] / len(self.labels)
        self._factors = np.maximum(1, np.sqrt(threshold / shares))
        # The small difference prevents rounding errors if all factors are whole numbers.
        draws = math.ceil(self._factors.sum() - 1e-6)
        self.num_samples = math.ceil(draws / self.world_size)
        self.rebalances = bool(self._factors.max() > 1)

    def order(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices into the dataset for all processes, shape (total,)."""
        # In random order, so that rounding does not depend on neighbours in the dataset.
        images = rng.permutation(len(self._factors))
        repeats = stochastic_round(self._factors[images], total, rng)
        return rng.permutation(np.repeat(images, repeats))


def stochastic_round(weights: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Round shares of a total up or down at random, so that their mean is exact.

    This is systematic sampling: equidistant points with one random offset on the cumulative sum of
    the weights.

    Args:
        weights: Non-negative weights with a positive sum, shape (M,).
        total: Sum of the result.
        rng: Random generator of the offset.

    Returns:
        Shape (M,), int64. Entry m is the floor or the ceiling of ``total * weights[m] /
        weights.sum()`` and has that mean.

    Example:
        >>> stochastic_round(np.array([3.0, 1.0]), 8, np.random.default_rng(0)).tolist()
        [6, 2]
    """
    # Rounded first, because 2.9999999999 would sometimes lose a whole draw.
    ends = np.round(np.cumsum(weights) * (total / weights.sum()), 9)
    ends[-1] = total
    hits = np.floor(ends + rng.random()).astype(np.int64)
    return np.diff(hits, prepend=0)


def spread(draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order that spreads every class evenly over an epoch.

    Args:
        draws: Number of draws of each class, shape (M,).
        rng: Random generator.

    Returns:
        Class of each draw, shape (draws.sum(),). The epoch is cut into as many equal parts as a
        class has draws; one draw falls into each part, at random within it.
    """
    classes = np.repeat(np.arange(len(draws)), draws)
    turn = np.arange(len(classes)) - np.repeat(np.cumsum(draws) - draws, draws)
    return classes[np.argsort((turn + rng.random(len(classes))) / draws[classes])]


def cycle(members: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``number`` draws from ``members``: all of them shuffled, over and over."""
    passes = np.tile(members, (math.ceil(number / len(members)), 1))
    return rng.permuted(passes, axis=1).ravel()[:number]


def members_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the images of each class that has any, in label order."""
    _, sizes = np.unique(labels, return_counts=True)
    return np.split(np.argsort(labels, kind='stable'), np.cumsum(sizes)[:-1])

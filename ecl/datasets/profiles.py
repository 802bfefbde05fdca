"""Long-tailed profiles and subsets: how many images of each class remain, and which."""

from collections.abc import Sequence

import numpy as np

from ecl.settings import Number, OneOf, Whole, validate_params


def exponential(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """Compute the exponential profile ``IF ** -position`` [lineage: CIFAR-LT]."""
    return (1 / imbalance_factor) ** position


def step(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """Compute the step profile: 1 in the first half of the classes, else ``1 / IF`` [lineage]."""
    return np.where(position < 0.5, 1.0, 1 / imbalance_factor)


def pareto(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """Compute a Pareto profile of power 6, as for ImageNet-LT, that ends at ``1 / IF`` [ours].

    ``(1 + position * (IF ** (1 / 6) - 1)) ** -6``: steeper than the exponential profile at the
    head, flatter at the tail.
    """
    return (1 + position * (imbalance_factor ** (1 / 6) - 1)) ** -6.0


#: Size of a class relative to the largest, from its position (0: largest, 1: smallest).
PROFILES = {'exponential': exponential, 'step': step, 'pareto': pareto}


@validate_params(
    num_classes=Whole(at_least=1),
    max_per_class=Whole(at_least=1),
    imbalance_factor=Number(at_least=1),
    profile=OneOf(*PROFILES),
)
def long_tail_counts(
    num_classes: int, max_per_class: int, imbalance_factor: float, profile: str = 'exponential'
) -> np.ndarray:
    """Compute the number of images of each class, the largest class first.

    Class i has ``int(max_per_class * share)`` images, where ``share`` is the profile at position
    ``i / (num_classes - 1)``. The exponential profile is that of CIFAR-LT.

    Args:
        num_classes: Number of classes C, at least 1.
        max_per_class: Images of class 0, the largest; at least 1.
        imbalance_factor: Ratio of the largest class to the smallest, at least 1.
        profile: 'exponential', 'step' or 'pareto'.

    Returns:
        Counts in class order, shape (C,), int64; they never increase. A profile that is too steep
        for its largest class ends in zeros.

    Raises:
        UserError: If an argument is out of range.

    Example:
        >>> long_tail_counts(10, 5000, 100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        >>> long_tail_counts(4, 500, 10, 'step').tolist()
        [500, 500, 50, 50]
    """
    position = np.arange(num_classes) / max(num_classes - 1, 1)
    exact = max_per_class * PROFILES[profile](position, imbalance_factor)
    # 49 * (1 / 49) is slightly below 1 in floating point, which would remove a whole image.
    return np.floor(exact + 1e-9).astype(np.int64)


def random_subset(
    members: Sequence[np.ndarray], wanted: Sequence[int], seed: int
) -> list[np.ndarray]:
    """Choose images at random, by seed, class and class size alone [ours].

    Args:
        members: Indices of the images of each class, ascending.
        wanted: Number to keep of each class.
        seed: Seed of the choice, at least 0.

    Returns:
        Indices to keep of each class.
    """
    return [
        indices[np.random.default_rng([seed, label]).permutation(len(indices))[:number]]
        for label, (indices, number) in enumerate(zip(members, wanted, strict=True))
    ]


def cao_subset(members: Sequence[np.ndarray], wanted: Sequence[int], seed: int) -> list[np.ndarray]:
    """Choose images like LDAM-DRW and most later code [lineage: Cao et al., NeurIPS 2019].

    NumPy's legacy generator, seeded once, shuffles the classes one after the other; the first
    images of each class are kept. Seed 0, the published one, gives the usual images only if the
    source has the order of the original files.

    Arguments and result are those of :func:`random_subset`.
    """
    generator = np.random.RandomState(seed)
    chosen = []
    for indices, number in zip(members, wanted, strict=True):
        shuffled = indices.copy()
        generator.shuffle(shuffled)
        chosen.append(shuffled[:number])
    return chosen


def first_subset(
    members: Sequence[np.ndarray], wanted: Sequence[int], seed: int
) -> list[np.ndarray]:
    """Choose the first images of each class in the order of the source [lineage: SHIKE].

    Arguments and result are those of :func:`random_subset`; the seed has no effect.
    """
    return [indices[:number] for indices, number in zip(members, wanted, strict=True)]


#: Subset rules that are in use for CIFAR-LT.
SUBSETS = {'random': random_subset, 'cao': cao_subset, 'first': first_subset}

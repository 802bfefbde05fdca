"""How many images each class of a long-tailed dataset has."""

import numpy as np

from ecl.errors import UserError


def exponential(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """Each class smaller than the one before by the same ratio: ``IF ** -position`` [lineage]."""
    return (1 / imbalance_factor) ** position


def step(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """The first half of the classes full, the others reduced to ``1 / IF`` [lineage]."""
    return np.where(position < 0.5, 1.0, 1 / imbalance_factor)


def pareto(position: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """A Pareto law of power 6, that of ImageNet-LT, stretched to end at ``1 / IF`` [ours].

    ``(1 + position * (IF ** (1 / 6) - 1)) ** -6``: steeper than the exponential profile at the
    head, flatter at the tail.
    """
    return (1 + position * (imbalance_factor ** (1 / 6) - 1)) ** -6.0


#: Size of a class relative to the largest, from its position (0: largest, 1: smallest).
PROFILES = {'exponential': exponential, 'step': step, 'pareto': pareto}


def long_tail_counts(
    num_classes: int, max_per_class: int, imbalance_factor: float, profile: str = 'exponential'
) -> np.ndarray:
    """Images of each class, the largest class first.

    Class i has ``int(max_per_class * share)`` images, where ``share`` is the profile at position
    ``i / (num_classes - 1)``. The exponential profile is that of CIFAR-LT.

    Args:
        num_classes: Number of classes C, at least 1.
        max_per_class: Images of class 0, the largest; at least 1.
        imbalance_factor: Ratio of the largest class to the smallest, at least 1.
        profile: 'exponential', 'step' or 'pareto'.

    Returns:
        Counts in class order, shape (C,), int64; they never grow. A profile too steep for its
        largest class ends in zeros.

    Raises:
        UserError: If one of the settings is out of its range.

    Example:
        >>> long_tail_counts(10, 5000, 100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        >>> long_tail_counts(4, 500, 10, 'step').tolist()
        [500, 500, 50, 50]
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
    if profile not in PROFILES:
        raise UserError(f'profile must be one of {", ".join(PROFILES)}, not {profile!r}')
    position = np.arange(num_classes) / max(num_classes - 1, 1)
    exact = max_per_class * PROFILES[profile](position, imbalance_factor)
    # 49 * (1 / 49) falls just short of 1 in floating point, and would cut a whole image.
    return np.floor(exact + 1e-9).astype(np.int64)

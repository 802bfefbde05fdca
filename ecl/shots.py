"""Shot groups: which classes have many, medium or few training images."""

import numpy as np
from numpy.typing import ArrayLike

from ecl.errors import UserError

#: Classes with more than 100 training images are many-shot, with fewer than 20 few-shot [lineage].
THRESHOLDS = (20, 100)


def shot_groups(
    class_counts: ArrayLike, thresholds: tuple[int, int] = THRESHOLDS
) -> dict[str, np.ndarray]:
    """Split the classes by their number of training images.

    Args:
        class_counts: Training images of each class, length C.
        thresholds: ``(low, high)``. Many-shot classes have more than ``high`` images, few-shot
            ones fewer than ``low``, medium-shot ones ``low`` to ``high`` inclusive.

    Returns:
        Class indices of each group under the keys ``many``, ``medium`` and ``few``, in this order.
        A group without a class is left out.

    Raises:
        UserError: If ``low`` is above ``high``.

    Example:
        >>> {name: ids.tolist() for name, ids in shot_groups([500, 100, 20, 19]).items()}
        {'many': [0], 'medium': [1, 2], 'few': [3]}
    """
    low, high = thresholds
    if low > high:
        raise UserError(f'shot thresholds (low, high) are crossed: {low} > {high}')
    counts = np.asarray(class_counts)
    members = {
        'many': counts > high,
        'medium': (counts >= low) & (counts <= high),
        'few': counts < low,
    }
    return {name: np.flatnonzero(mask) for name, mask in members.items() if mask.any()}

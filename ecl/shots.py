"""Shot groups: classes with many, medium and few training images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecl.settings import Range, validate_params

#: Classes with more than 100 training images are many-shot, with fewer than 20 few-shot [lineage].
THRESHOLDS = (20, 100)


@validate_params(thresholds=Range(at_least=0))
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
        UserError: Unless 0 <= low <= high.

    Example:
        >>> {name: ids.tolist() for name, ids in shot_groups([500, 100, 20, 19]).items()}
        {'many': [0], 'medium': [1, 2], 'few': [3]}
    """
    low, high = thresholds
    counts = np.asarray(class_counts)
    members = {
        'many': counts > high,
        'medium': (counts >= low) & (counts <= high),
        'few': counts < low,
    }
    return {name: np.flatnonzero(mask) for name, mask in members.items() if mask.any()}


def configured_thresholds(cfg: Mapping[str, Any]) -> tuple[int, int]:
    """Return the thresholds of the evaluator of a configuration, by default :data:`THRESHOLDS`."""
    evaluator = cfg.get('test_evaluator') or cfg.get('val_evaluator') or ()
    metrics = [evaluator] if isinstance(evaluator, Mapping) else evaluator
    low, high = next((m['thresholds'] for m in metrics if 'thresholds' in m), THRESHOLDS)
    return low, high


def shot_names(class_counts: Sequence[int], thresholds: tuple[int, int] = THRESHOLDS) -> list[str]:
    """Return the group of each class by name, length C.

    Arguments and errors are those of :func:`shot_groups`.

    Example:
        >>> shot_names([500, 100, 20, 19])
        ['many', 'medium', 'medium', 'few']
    """
    names = [''] * len(class_counts)
    for name, classes in shot_groups(class_counts, thresholds).items():
        for label in classes:
            names[label] = name
    return names

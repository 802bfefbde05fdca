"""Whether a difference is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecl.evaluation import Predictions


@dataclass
class Difference:
    """One metric of two methods.

    Attributes:
        value: Second minus first, in points.
        p: Probability of a difference at least as large where there is none; None if unknown.
        interval: 95 % confidence interval of ``value``; None if unknown.
    """

    value: float
    p: float | None = None
    interval: tuple[float, float] | None = None


def between_seeds(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two methods by trainings with several seeds: Welch's t-test.

    Not paired: what two methods draw with the same seed has nothing in common but its number; and
    their variances may differ.

    Args:
        first: A metric of each training of the first method.
        second: Of the second.
    """
    value = float(np.mean(second) - np.mean(first))
    if min(len(first), len(second)) < 2 or np.ptp(first) == np.ptp(second) == 0:
        return Difference(value)
    test = stats.ttest_ind(second, first, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Difference(value, float(test.pvalue), (float(interval.low), float(interval.high)))


def between_networks(
    value: float, first: Predictions, second: Predictions, images: np.ndarray
) -> Difference:
    """Compare two trained networks on the same images: McNemar's exact test.

    It tells whether these two networks differ, not whether another seed would bring the same.

    Args:
        value: The difference of their metric.
        first: Predictions of the first network.
        second: Of the second, for the same test set.
        images: Which of them to look at, a mask (N,).
    """
    one, other = first.right[0, images], second.right[0, images]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    discordant = only_first + only_second
    p = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    return Difference(value, float(p))

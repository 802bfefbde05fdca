"""Significance of differences between methods."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecl.evaluation.predictions import Predictions


@dataclass
class Difference:
    """Difference of a metric between two methods.

    Attributes:
        value: Second minus first, in points.
        p: p-value, the probability of a difference at least as large under the null hypothesis;
            None if unknown.
        interval: 95 % confidence interval of ``value``; None if unknown.
    """

    value: float
    p: float | None = None
    interval: tuple[float, float] | None = None


def between_seeds(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two methods over several seeds by Welch's t-test.

    The test is not paired, since two methods draw different numbers from the same seed. Their
    variances may differ.

    Args:
        first: A metric of each training of the first method.
        second: The same of the second method.
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
    """Compare two trained networks on the same images by McNemar's exact test.

    The test tells whether these two networks differ. It says nothing about other seeds.

    Args:
        value: The difference of their metric.
        first: Predictions of the first network.
        second: Predictions of the second network for the same test set.
        images: Mask (N,) of the images to compare.
    """
    one, other = first.right[0, images], second.right[0, images]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    discordant = only_first + only_second
    p = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    return Difference(value, float(p))

"""Share of the predictions per class, from frequent to rare classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ecl.evaluation.predictions import Predictions


@dataclass(frozen=True)
class PredictionShare:
    """Predicted images and confidence per class; rank 0 is the class of most training images.

    Attributes:
        share: Predicted images of each class in percent of its test images, (C,); NaN for a class
            without test images. 100 everywhere means that no class is predicted too often. If
            every class has 100 test images, the values are numbers of images.
        confidence: Mean probability of the predicted class over the test images of each class,
            (C,), 0 to 1; NaN for a class without test images.
    """

    share: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(
        cls, predictions: Predictions, class_counts: Sequence[int] | np.ndarray
    ) -> 'PredictionShare':
        """Compute the values of the whole model.

        Args:
            predictions: For N test images.
            class_counts: Training images of each class, length C. Equal counts rank by label.
        """
        counts = np.asarray(class_counts)
        order = np.argsort(-counts, kind='stable')
        predicted = np.bincount(predictions.predicted[0], minlength=len(counts))
        tested = np.bincount(predictions.labels, minlength=len(counts))
        total = np.bincount(predictions.labels, predictions.confidence[0], minlength=len(counts))
        tested = np.where(tested > 0, tested, np.nan)
        return cls((100 * predicted / tested)[order], (total / tested)[order])

    @classmethod
    def mean(cls, shares: Sequence['PredictionShare']) -> 'PredictionShare':
        """Average several models with the same classes, such as seeds of one method."""
        return cls(
            np.mean([one.share for one in shares], axis=0),
            np.mean([one.confidence for one in shares], axis=0),
        )

    def summary(self) -> dict[str, Any]:
        """Return slope per class and means of the thirds, of both curves."""
        return {
            'share_slope': slope(self.share),
            'share_thirds': thirds(self.share),
            'confidence_slope': slope(self.confidence),
            'confidence_thirds': thirds(self.confidence),
        }


def linear_trend(values: np.ndarray) -> np.ndarray:
    """Return the least-squares line of values (C,) over their index, (C,); NaN is left out.

    Example:
        >>> linear_trend(np.array([5.0, np.nan, 1.0])).round(6).tolist()
        [5.0, 3.0, 1.0]
    """
    ranks = np.arange(len(values))
    known = ~np.isnan(values)
    return np.polyval(np.polyfit(ranks[known], values[known], 1), ranks)


def slope(values: np.ndarray) -> float:
    """Return the change of the linear trend of values (C,) from one class to the next."""
    line = linear_trend(values)
    return float(line[-1] - line[0]) / (len(line) - 1)


def thirds(values: np.ndarray) -> list[float | None]:
    """Return the means of values (C,) over the first, second and last third of the classes.

    NaN is left out. The mean of a third without values is None.
    """
    ends = [round(len(values) * part / 3) for part in range(4)]
    parts = [values[i:j][~np.isnan(values[i:j])] for i, j in pairwise(ends)]
    return [float(part.mean()) if part.size else None for part in parts]


def describe_thirds(values: Sequence[float | None], decimals: int) -> str:
    """Write the result of :func:`thirds` as text; '-' means a third without values.

    Example:
        >>> describe_thirds([112.4, None, 85.0], 0)
        '112 / - / 85'
    """
    return ' / '.join('-' if value is None else f'{value:.{decimals}f}' for value in values)

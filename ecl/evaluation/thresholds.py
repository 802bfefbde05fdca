"""Confidence thresholds for abstention, and the cost of abstaining."""

from dataclasses import dataclass

import numpy as np

from ecl.settings import Number, Whole, validate_params


@validate_params(accuracy=Number(above=0, below=1), min_images=Whole(at_least=1))
def class_thresholds(
    labels: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
    num_classes: int,
    accuracy: float,
    min_images: int = 20,
) -> np.ndarray:
    """Choose a threshold for each predicted class such that its accepted predictions are accurate.

    A prediction is accepted if its confidence is at least the threshold of its class. Rare classes
    are predicted with less confidence than frequent ones, so one threshold for all would reject
    them first. A class that is predicted fewer than ``min_images`` times has the threshold that is
    chosen on all predictions together. The accuracy is computed with one additional wrong
    prediction, because a threshold that is chosen on few images looks better on these images than
    on others.

    Args:
        labels: True classes, (N,).
        predicted: Predicted classes, (N,).
        confidence: Probability of the predicted class, (N,), 0 to 1.
        num_classes: C.
        accuracy: Share of the accepted predictions that must be right, in (0, 1).
        min_images: Smallest number of predictions for a separate threshold of a class.

    Returns:
        Thresholds (C,); infinity where no threshold reaches the accuracy.

    Raises:
        UserError: If ``accuracy`` or ``min_images`` is out of range.

    Example:
        >>> labels, predicted = np.array([0, 0, 0, 1]), np.zeros(4, int)
        >>> class_thresholds(labels, predicted, np.array([0.9, 0.8, 0.7, 0.6]), 2, accuracy=0.7)
        array([0.7, 0.7])
    """
    right = labels == predicted
    thresholds = np.full(num_classes, _lowest(confidence, right, accuracy))
    for label in range(num_classes):
        chosen = predicted == label
        if chosen.sum() >= min_images:
            thresholds[label] = _lowest(confidence[chosen], right[chosen], accuracy)
    return thresholds


def _lowest(confidence: np.ndarray, right: np.ndarray, accuracy: float) -> float:
    """Return the lowest threshold above which the accuracy is high enough."""
    order = np.argsort(-confidence, kind='stable')
    confidence, hits = confidence[order], np.cumsum(right[order])
    # Equal confidences are accepted together.
    last = np.append(confidence[1:] != confidence[:-1], True)
    enough = np.flatnonzero(last & (hits >= accuracy * np.arange(2, len(hits) + 2)))
    return float(confidence[enough[-1]]) if len(enough) else np.inf


@dataclass(frozen=True)
class Acceptance:
    """Benefit and cost of abstaining on a set of images.

    Attributes:
        accepted: Share of the images whose prediction is accepted, 0 to 1.
        accuracy: Share of these that are right; NaN if none is accepted.
    """

    accepted: float
    accuracy: float


def acceptance(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, thresholds: np.ndarray
) -> Acceptance:
    """Return the share of accepted predictions and their accuracy.

    Args:
        labels, predicted, confidence: As for :func:`class_thresholds`; at least one image.
        thresholds: Threshold of each class, (C,).
    """
    kept = confidence >= thresholds[predicted]
    right = labels[kept] == predicted[kept]
    return Acceptance(float(kept.mean()), float(right.mean()) if kept.any() else np.nan)

"""Predictions for every test image, and significance tests of their differences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import pandas as pd
import torch
from mmengine.evaluator import BaseMetric
from scipy import stats

from ecl.errors import UserError
from ecl.registry import METRICS
from ecl.shots import THRESHOLDS, shot_names

#: Names of the two kinds of classifiers by the field of a data sample with their scores (C,).
CLASSIFIERS = {'label_score': 'label classifiers', 'distill_score': 'distill classifiers'}


@dataclass
class Predictions:
    """Predictions for N images in the order of the dataset, by P predictors.

    The first predictor is the whole model; where that is an ensemble, its experts follow.

    Attributes:
        paths: Files of the images, length N; empty strings where the data has no files.
        labels: True classes, (N,), int64.
        predicted: Predicted classes, (P, N), int64.
        confidence: Probability of the predicted class, (P, N), float32, 0 to 1.
        by_classifier: Predictions of the whole model with each kind of classifier, one predictor
            each, by the names in :data:`CLASSIFIERS`. Empty if an expert has one classifier.
    """

    paths: list[str]
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    by_classifier: dict[str, 'Predictions'] = field(default_factory=dict)

    @property
    def right(self) -> np.ndarray:
        """Whether each prediction is right, (P, N)."""
        return self.predicted == self.labels

    @property
    def names(self) -> list[str]:
        """'ensemble' and 'expert 0' to 'expert K-1', or 'model' alone; length P."""
        experts = [f'expert {k}' for k in range(len(self.predicted) - 1)]
        return ['ensemble', *experts] if experts else ['model']

    def class_accuracies(self, num_classes: int) -> np.ndarray:
        """Compute the accuracy of each class in percent, (P, C); NaN without a test image."""
        images = np.bincount(self.labels, minlength=num_classes).astype(float)
        images[images == 0] = np.nan
        right = [np.bincount(self.labels, row, minlength=num_classes) for row in self.right]
        return 100 * np.stack(right) / images


def check_finite(scores: torch.Tensor) -> None:
    """Raise UserError if a score is NaN or infinite; scores are (N, ..., C)."""
    faulty = int((~scores.isfinite()).flatten(1).any(dim=1).sum())
    if faulty:
        raise UserError(
            f'{faulty} of {len(scores)} images have scores that are not finite numbers: the '
            'training diverged, or the scores are too large for 16 bits.'
        )


@METRICS.register_module()
class PredictionRecord(BaseMetric):
    """Record of the predictions of an evaluation, used like a metric.

    After an evaluation, ``predictions`` holds them in the main process; elsewhere it is None. Only
    the class and the confidence of a prediction are kept, so that large test sets with many classes
    fit in memory.

    Args:
        collect_device: Where several processes gather their results, ``'cpu'`` or ``'gpu'``.
    """

    default_prefix = 'predictions'

    def __init__(self, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.predictions: Predictions | None = None
        self.classifiers: list[str] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label, predictions and file of each image of a batch.

        Args:
            data_batch: Not used.
            data_samples: Predictions with their labels: ``gt_label``, ``pred_score`` (C,), from a
                model of several experts ``expert_scores`` (K, C), and from experts with two
                classifiers the fields of :data:`CLASSIFIERS`.
        """
        self.classifiers = [key for key in CLASSIFIERS if key in data_samples[0]]
        scores = torch.stack([sample['pred_score'] for sample in data_samples])[:, None]
        if 'expert_scores' in data_samples[0]:
            experts = torch.stack([sample['expert_scores'] for sample in data_samples])
            scores = torch.cat([scores, experts], dim=1)  # (N, P, C)
        for key in self.classifiers:
            more = torch.stack([sample[key] for sample in data_samples])[:, None]
            scores = torch.cat([scores, more], dim=1)
        check_finite(scores)
        confidence, predicted = (found.tolist() for found in scores.float().max(dim=2))
        labels = torch.stack([sample['gt_label'].reshape(()) for sample in data_samples]).tolist()
        paths = [str(sample.get('img_path', '')) for sample in data_samples]
        self.results.extend(zip(paths, labels, predicted, confidence, strict=True))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Build ``predictions`` from the kept values.

        Args:
            results: File, label, classes and confidences of each image: of the P predictors, then
                of the classifiers.

        Returns:
            An empty dict.
        """
        columns = zip(*results, strict=True)
        paths, labels = list(next(columns)), np.array(next(columns), dtype=np.int64)
        predicted = np.array(next(columns), dtype=np.int64).T.copy()
        confidence = np.array(next(columns), dtype=np.float32).T.copy()
        first = len(predicted) - len(self.classifiers)
        by_classifier = {
            CLASSIFIERS[key]: Predictions(paths, labels, predicted[[row]], confidence[[row]])
            for row, key in enumerate(self.classifiers, first)
        }
        self.predictions = Predictions(
            paths, labels, predicted[:first], confidence[:first], by_classifier
        )
        return {}


def class_table(
    predictions: Predictions,
    class_counts: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> str:
    """Write accuracy and number of training images of each class as CSV.

    Args:
        predictions: Predictions for the test images.
        class_counts: Training images of each class, length C.
        class_names: Names in label order, length C.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A header, then a line for each class: ``label``, ``class``, ``training_images``,
        ``shot_group``, ``test_images``, and the accuracy in percent of each predictor
        (``ensemble``, ``expert 0``, ...). Unknown values are empty.
    """
    known = class_names if class_counts is None else class_counts
    largest = max(predictions.predicted.max(), predictions.labels.max())
    size = int(largest) + 1 if known is None else len(known)
    frame = pd.DataFrame(
        {
            'label': range(size),
            'class': '' if class_names is None else class_names,
            'training_images': '' if class_counts is None else class_counts,
            'shot_group': '' if class_counts is None else shot_names(class_counts, thresholds),
            'test_images': np.bincount(predictions.labels, minlength=size),
        }
    )
    frame[predictions.names] = predictions.class_accuracies(size).T
    return frame.to_csv(index=False, float_format='%.2f', lineterminator='\n')


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
    with catch_warnings():
        filterwarnings('ignore', 'Precision loss')  # a method without variance has no spread
        test = stats.ttest_ind(second, first, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Difference(value, float(test.pvalue), (float(interval.low), float(interval.high)))


def between_networks(
    value: float, first: Predictions, second: Predictions, images: np.ndarray
) -> Difference:
    """Compare two trained networks on the same images by McNemar's exact test.

    The test shows whether these two networks differ. It does not cover other seeds.

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

"""What a model says about every test image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from ecl.registry import METRICS


@dataclass
class Predictions:
    """Predictions for N images in the order of the dataset, by P predictors.

    The first predictor is the whole model; where that is an ensemble, its experts follow.

    Attributes:
        paths: Files of the images, length N; empty strings where the data has no files.
        labels: True classes, (N,), int64.
        predicted: Predicted classes, (P, N), int64.
        confidence: Probability of the predicted class, (P, N), float32, 0 to 1.
    """

    paths: list[str]
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

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
        """Accuracy of each class in percent, (P, C); NaN for a class without a test image."""
        images = np.bincount(self.labels, minlength=num_classes).astype(float)
        images[images == 0] = np.nan
        right = [np.bincount(self.labels, row, minlength=num_classes) for row in self.right]
        return 100 * np.stack(right) / images


@METRICS.register_module()
class PredictionRecord(BaseMetric):
    """No metric of its own: keeps the predictions that an evaluation makes.

    After an evaluation, ``predictions`` holds them (in the main process; elsewhere it is None).
    Only class and confidence are kept of a prediction, so large test sets with many classes fit in
    memory.

    Args:
        collect_device: Where several processes gather their results, ``'cpu'`` or ``'gpu'``.
    """

    default_prefix = 'predictions'

    def __init__(self, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.predictions: Predictions | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label, predictions and file of each image of a batch.

        Args:
            data_batch: Not used.
            data_samples: Predictions with their labels: ``gt_label``, ``pred_score`` (C,) and, from
                a model of several experts, ``expert_scores`` (K, C).
        """
        for sample in data_samples:
            scores = sample['pred_score'][None]
            if 'expert_scores' in sample:
                scores = torch.cat([scores, sample['expert_scores']])
            confidence, predicted = scores.float().max(dim=1)
            path = str(sample.get('img_path', ''))
            label = int(sample['gt_label'])
            self.results.append((path, label, predicted.tolist(), confidence.tolist()))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Put what was kept into ``predictions``.

        Args:
            results: File, label, P classes and P confidences of each image.

        Returns:
            An empty dict.
        """
        paths, labels, predicted, confidence = zip(*results, strict=True)
        self.predictions = Predictions(
            list(paths),
            np.array(labels, dtype=np.int64),
            np.array(predicted, dtype=np.int64).T.copy(),
            np.array(confidence, dtype=np.float32).T.copy(),
        )
        return {}

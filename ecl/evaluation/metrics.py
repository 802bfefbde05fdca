"""Metrics: accuracy by shot group, at equal balance, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from numpy.typing import ArrayLike
from torchmetrics.functional.classification import binary_calibration_error

from ecl.errors import UserError
from ecl.evaluation.predictions import Predictions, check_finite
from ecl.registry import METRICS
from ecl.settings import Each, Number, Range, validate_params
from ecl.shots import THRESHOLDS, shot_groups


def shot_accuracy(
    labels: ArrayLike,
    predicted: ArrayLike,
    class_counts: Sequence[int] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> dict[str, float]:
    """Compute top-1 accuracy by the number of training images of the classes, in percent.

    Args:
        labels: Class of each image, (N,), N > 0.
        predicted: Predicted class of each image, (N,).
        class_counts: Training images of each class, length C. Without them there are no groups.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        ``overall``, ``many``, ``medium``, ``few`` and ``balanced``; see :class:`ShotAccuracy`.

    Raises:
        UserError: If the thresholds are crossed, or a label is beyond the class counts.

    Example:
        >>> shot_accuracy([0, 1, 2, 3], [0, 1, 2, 0], class_counts=[500, 50, 5, 4])
        {'overall': 75.0, 'many': 100.0, 'medium': 100.0, 'few': 50.0, 'balanced': 75.0}
    """
    labels = np.asarray(labels)
    correct = np.asarray(predicted) == labels
    num_images, num_correct = np.bincount(labels), np.bincount(labels, weights=correct)
    seen = np.flatnonzero(num_images)
    groups: dict[str, np.ndarray] = {}
    if class_counts is not None:
        if seen[-1] >= len(class_counts):
            raise UserError(
                f'shot_accuracy: label out of range: got {seen[-1]}, expected 0 to '
                f'{len(class_counts) - 1}. Evaluate on data with the classes of the training.'
            )
        shots = shot_groups(class_counts, thresholds)
        members = {name: np.intersect1d(ids, seen) for name, ids in shots.items()}
        groups = {name: ids for name, ids in members.items() if ids.size}
    groups['balanced'] = seen
    by_group = {
        name: 100 * float((num_correct[ids] / num_images[ids]).mean())
        for name, ids in groups.items()
    }
    return {'overall': 100 * float(correct.mean()), **by_group}


@METRICS.register_module()
class ShotAccuracy(BaseMetric):
    """Top-1 accuracy by number of training images, of the ensemble and of each expert.

    The results are percentages under these keys, here with the default prefix:

    - ``shot/overall``: share of the images that are classified correctly.
    - ``shot/many``, ``shot/medium``, ``shot/few``: mean of the class accuracies over those classes
      of the group that occur in the evaluated data [lineage]. A group without such a class has no
      key.
    - ``shot/balanced``: mean of the class accuracies over all classes in the evaluated data.
    - ``shot/expert0/overall``, ``shot/expert0/many``, ...: the same of expert 0 alone, and so on,
      where the predictions hold ``expert_scores``.
    - ``shot/label/overall``, ..., ``shot/distill/overall``, ...: the same of the whole model with
      either kind of classifier, where the predictions hold ``label_score`` and ``distill_score``.

    The groups need the training counts. :class:`ecl.engine.ClassCountsHook` passes them from the
    training data or from a checkpoint. Without training counts, only ``overall`` and ``balanced``
    are reported, with a warning.

    A prediction is a data sample (as a dict) with ``gt_label``, ``pred_score`` of shape (C,) and,
    from a model of several experts, ``expert_scores`` of shape (K, C). Only the label and the
    predicted class of each score are kept, so that large test sets fit in memory.

    Args:
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.
        class_counts: Training images of each class, length C, for use without the hook, whose
            counts replace these.
        collect_device: Where several processes gather their results, ``'cpu'`` or ``'gpu'``.
        prefix: Replaces ``shot`` in the keys.

    Raises:
        UserError: If the thresholds are crossed, or the evaluated data has a label beyond the
            class counts.

    Example:
        >>> metric = ShotAccuracy(class_counts=[500, 50, 5])
        >>> scores = torch.eye(3)
        >>> metric.process(None, [{'gt_label': torch.tensor([i]), 'pred_score': scores[min(i, 1)]}
        ...                       for i in range(3)])
        >>> metric.evaluate(size=3)['shot/many']
        100.0
    """

    default_prefix = 'shot'

    @validate_params(thresholds=Range(at_least=0))
    def __init__(
        self,
        thresholds: tuple[int, int] = THRESHOLDS,
        class_counts: Sequence[int] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        low, high = thresholds  # a list, in a configuration read from JSON
        self.thresholds = (low, high)
        self.class_counts = class_counts
        self._warned = False
        # Prefix of the keys for each column of the predicted classes; the ensemble is first.
        self._sources = ['']

    def set_class_counts(self, class_counts: Sequence[int]) -> None:
        """Set the training images of each class.

        Args:
            class_counts: Training images of each class, length C.
        """
        self.class_counts = class_counts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label and predicted classes of a batch.

        Args:
            data_batch: Not used.
            data_samples: Predictions with their labels.
        """
        labels = torch.stack([sample['gt_label'].reshape(()) for sample in data_samples])
        ensemble = torch.stack([sample['pred_score'] for sample in data_samples])
        check_finite(ensemble)
        columns = [labels[:, None].cpu(), ensemble.argmax(dim=1, keepdim=True).cpu()]
        self._sources = ['']
        if 'expert_scores' in data_samples[0]:
            scores = torch.stack([sample['expert_scores'] for sample in data_samples])
            columns.append(scores.argmax(dim=2).cpu())
            self._sources += [f'expert{k}/' for k in range(scores.size(1))]
        for kind in ('label', 'distill'):
            if f'{kind}_score' in data_samples[0]:
                scores = torch.stack([sample[f'{kind}_score'] for sample in data_samples])
                columns.append(scores.argmax(dim=1, keepdim=True).cpu())
                self._sources.append(f'{kind}/')
        self.results.extend(map(tuple, torch.cat(columns, dim=1).tolist()))

    def compute_metrics(self, results: list[tuple[int, ...]]) -> dict[str, float]:
        """Compute percentages from labels and predicted classes.

        Args:
            results: Label and predicted classes of each image, the ensemble's first.

        Returns:
            Percentages, keyed as the class describes, without the prefix.
        """
        if not results:
            return {}
        self._warn_without_counts()
        labels, *predictions = np.asarray(results).T
        return {
            f'{source}{key}': value
            for source, predicted in zip(self._sources, predictions, strict=True)
            for key, value in shot_accuracy(
                labels, predicted, self.class_counts, self.thresholds
            ).items()
        }

    def _warn_without_counts(self) -> None:
        if self.class_counts is None and not self._warned:
            MMLogger.get_current_instance().warning(
                'ShotAccuracy reports no many / medium / few groups: it does not know the training '
                'counts. Evaluate a checkpoint trained with ClassCountsHook, or pass '
                'class_counts to ShotAccuracy.'
            )
            self._warned = True


#: Bins of equal width of the calibration error.
BINS = 15
#: Strengths of the correction that are compared by default.
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4)


def calibration_errors(predictions: Predictions) -> np.ndarray:
    """Compute the expected calibration error of each predictor in percent, shape (P,).

    The error is the mean distance of confidence and accuracy over bins of confidence, weighted by
    their images.

    Args:
        predictions: Predictions for the test images.
    """
    # The binary error of the predicted class equals the error over all classes.
    errors = [
        binary_calibration_error(torch.from_numpy(sure), torch.from_numpy(right), n_bins=BINS)
        for sure, right in zip(predictions.confidence, predictions.right, strict=True)
    ]
    return 100 * torch.stack(errors).numpy()


@METRICS.register_module()
class BalanceAccuracy(ShotAccuracy):
    """Accuracy by shot group with t * log prior subtracted from the logits, for several t.

    Post-hoc logit adjustment [lineage: Menon et al., ICLR 2021, Eq. (9)], of the ensemble. A
    method that favours rare classes is better on them and worse on frequent ones. Along the curve
    of strengths two methods can be compared at the same balance. At t = 0 the values are those of
    :class:`ShotAccuracy`; t > 0 favours rare classes.

    The results are percentages under ``balance/<t>/overall``, ``balance/<t>/many`` and so on.

    Args:
        strengths: The values of t.
        **kwargs: Arguments of :class:`ShotAccuracy`.

    Raises:
        UserError: If there is no strength, or, at the first batch, the class counts are unknown.
    """

    default_prefix = 'balance'

    @validate_params(strengths=Each(Number()))
    def __init__(self, strengths: Sequence[float] = STRENGTHS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strengths = tuple(strengths)
        self._sources = [f'{strength:g}/' for strength in self.strengths]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the label and the predicted class at each strength.

        Args:
            data_batch: Not used.
            data_samples: Predictions with their labels.
        """
        if self.class_counts is None:
            raise UserError(
                'BalanceAccuracy.class_counts: got None, expected the training images of each '
                'class. Evaluate a checkpoint that was trained with ClassCountsHook.'
            )
        # A class without training images is treated as one with a single image.
        counts = torch.tensor(self.class_counts, dtype=torch.float64).clamp(min=1)
        log_prior = (counts / counts.sum()).log()
        scores = torch.stack([sample['pred_score'] for sample in data_samples]).cpu().double()
        scores = scores.clamp(min=torch.finfo(torch.float32).tiny).log()
        labels = torch.stack([sample['gt_label'].reshape(()).cpu() for sample in data_samples])
        predicted = [(scores - t * log_prior).argmax(dim=1) for t in self.strengths]
        self.results.extend(map(tuple, torch.stack([labels, *predicted], dim=1).tolist()))

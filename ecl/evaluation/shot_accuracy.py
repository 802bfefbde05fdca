"""Accuracy on many-, medium- and few-shot classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from ecl.errors import UserError
from ecl.registry import METRICS
from ecl.settings import Range, validate_params
from ecl.shots import THRESHOLDS, shot_groups


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

    The groups need the training counts. :class:`ecl.engine.hooks.ClassCountsHook` supplies
    them from the training data or from a checkpoint; without them only ``overall`` and
    ``balanced`` are reported, with a warning.

    A prediction is a data sample (as a dict) with ``gt_label``, ``pred_score`` of shape (C,) and,
    from a model of several experts, ``expert_scores`` of shape (K, C). Only its label and K + 1
    predicted classes are kept, so that large test sets fit in memory.

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
        # Beginning of the keys of each column of the predicted classes, the ensemble's first.
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
        ensemble = torch.stack([sample['pred_score'] for sample in data_samples]).argmax(dim=1)
        columns = [labels[:, None].cpu(), ensemble[:, None].cpu()]
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
        labels, *predictions = np.asarray(results).T
        groups = self._groups(labels)
        num_images = np.bincount(labels)
        metrics: dict[str, float] = {}
        for source, predicted in zip(self._sources, predictions, strict=True):
            correct = predicted == labels
            num_correct = np.bincount(labels, weights=correct)
            metrics[f'{source}overall'] = 100 * float(correct.mean())
            for name, classes in groups.items():
                accuracies = num_correct[classes] / num_images[classes]
                metrics[f'{source}{name}'] = 100 * float(accuracies.mean())
        return metrics

    def _groups(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the classes in the evaluated data by group, ``balanced`` for all of them."""
        seen = np.unique(labels)
        groups: dict[str, np.ndarray] = {}
        if self.class_counts is None:
            self._warn_once()
        elif seen[-1] >= len(self.class_counts):
            raise UserError(
                f'ShotAccuracy: label out of range: got {seen[-1]}, expected 0 to '
                f'{len(self.class_counts) - 1}. Evaluate on data with the classes of the training.'
            )
        else:
            shots = shot_groups(self.class_counts, self.thresholds)
            members = {name: np.intersect1d(ids, seen) for name, ids in shots.items()}
            groups = {name: ids for name, ids in members.items() if ids.size}
        return groups | {'balanced': seen}

    def _warn_once(self) -> None:
        if not self._warned:
            MMLogger.get_current_instance().warning(
                'ShotAccuracy reports no many / medium / few groups: it does not know the training '
                'counts. Evaluate a checkpoint trained with ClassCountsHook in custom_hooks, '
                'or pass class_counts to ShotAccuracy.'
            )
            self._warned = True

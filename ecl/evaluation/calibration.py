"""Calibration error, and accuracy under a stronger or weaker correction of the class prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchmetrics.functional.classification import binary_calibration_error

from ecl.errors import UserError
from ecl.evaluation.predictions import Predictions
from ecl.evaluation.shot_accuracy import ShotAccuracy
from ecl.registry import METRICS
from ecl.settings import Each, Number, validate_params

#: Bins of equal width of the calibration error.
BINS = 15
#: Strengths that cover what the label losses of the field leave uncorrected.
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4)


def calibration_errors(predictions: Predictions) -> np.ndarray:
    """Compute the expected calibration error of each predictor in percent, shape (P,).

    The error is the mean distance of confidence and accuracy over bins of confidence, weighted by
    their images.

    Args:
        predictions: Predictions for the test images.
    """
    # Of the predicted class alone, the binary error equals that of all classes.
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
        # Classes without a training image keep their score.
        counts = torch.tensor(self.class_counts, dtype=torch.float64).clamp(min=1)
        log_prior = (counts / counts.sum()).log()
        scores = torch.stack([sample['pred_score'] for sample in data_samples]).cpu().double()
        scores = scores.clamp(min=torch.finfo(torch.float32).tiny).log()
        labels = torch.stack([sample['gt_label'].reshape(()).cpu() for sample in data_samples])
        predicted = [(scores - t * log_prior).argmax(dim=1) for t in self.strengths]
        self.results.extend(map(tuple, torch.stack([labels, *predicted], dim=1).tolist()))

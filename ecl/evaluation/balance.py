"""How accuracy moves between frequent and rare classes as the prior is corrected further."""

from collections.abc import Sequence
from typing import Any

import torch

from ecl.errors import UserError
from ecl.evaluation.shot_accuracy import ShotAccuracy
from ecl.registry import METRICS
from ecl.settings import SettingError

#: Strengths that span what the label losses of the field leave uncorrected.
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4)


@METRICS.register_module()
class BalanceAccuracy(ShotAccuracy):
    """Accuracy by shot group with t * log prior taken off the logits, for several strengths t.

    Post-hoc logit adjustment [lineage: Menon et al., ICLR 2021], of the ensemble. A method that
    favours rare classes more looks better on them and worse on frequent ones; along the curve of
    strengths two methods can be compared at the same balance. At t = 0 the values are those of
    :class:`ShotAccuracy`; t > 0 favours rare classes.

    The results are percentages under ``balance/<t>/overall``, ``balance/<t>/many`` and so on.

    Args:
        strengths: The values of t.
        **kwargs: Arguments of :class:`ShotAccuracy`.

    Raises:
        UserError: If there is no strength, or, at the first batch, the class counts are unknown.
    """

    default_prefix = 'balance'

    def __init__(self, strengths: Sequence[float] = STRENGTHS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not strengths:
            raise SettingError(self, 'strengths', strengths, 'one number or more')
        self.strengths = tuple(strengths)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label and the predicted class at each strength.

        Args:
            data_batch: Not used.
            data_samples: Predictions with their labels.
        """
        if self.class_counts is None:
            raise UserError(
                'BalanceAccuracy needs the training images of each class: evaluate a checkpoint '
                'trained with ClassCountsHook in custom_hooks'
            )
        # Classes without a training image keep their score.
        counts = torch.tensor(self.class_counts, dtype=torch.float64).clamp(min=1)
        log_prior = (counts / counts.sum()).log()
        scores = torch.stack([sample['pred_score'] for sample in data_samples]).cpu().double()
        scores = scores.clamp(min=torch.finfo(torch.float32).tiny).log()
        labels = torch.stack([sample['gt_label'].reshape(()).cpu() for sample in data_samples])
        predicted = [(scores - t * log_prior).argmax(dim=1) for t in self.strengths]
        self.results.extend(map(tuple, torch.stack([labels, *predicted], dim=1).tolist()))

    def _source(self, index: int) -> str:
        return f'{self.strengths[index]:g}/'

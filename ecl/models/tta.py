"""Test-time augmentation: mean of the predictions for several views of an image."""

import torch
from mmpretrain.models import AverageClsScoreTTA
from mmpretrain.structures import DataSample

from ecl.registry import MODELS


@MODELS.register_module()
class AverageScoresTTA(AverageClsScoreTTA):
    """MMPretrain's mean of the scores over views, for the experts too.

    Args:
        module: The model, or its config.
        data_preprocessor: Of the model, where its config has none.

    Example:
        >>> tta_model = dict(type='AverageScoresTTA')
    """

    def _merge_single_sample(self, data_samples: list[DataSample]) -> DataSample:
        merged = super()._merge_single_sample(data_samples)
        # The parent leaves these two as the first view has them.
        merged.set_pred_label(merged.pred_score.argmax().reshape(1))
        if 'expert_scores' in merged:
            views = torch.stack([sample.expert_scores for sample in data_samples])
            merged.set_field(views.mean(dim=0), 'expert_scores')
        return merged

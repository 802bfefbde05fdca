"""Parts of a model for training in two stages: a classifier with scales, a loss of each stage.

:class:`~ecl.engine.hooks.SecondStageHook` begins the second stage.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.build import build_part
from ecl.registry import MODELS
from ecl.settings import Whole, validate_params


@MODELS.register_module()
class ScaledLinear(nn.Linear):
    """Linear classifier with one scale for each class: scale_c * (w_c, feature) + bias_c.

    Learnable weight scaling (LWS) [lineage: Kang et al., ICLR 2020, arXiv 1910.09217, section 4.3]
    learns the scales alone in the second stage. They are 1 and frozen before.

    Args:
        in_features: Dimension D of a feature.
        out_features: Number of classes C.
        bias: Add a learnt bias. The scales do not change it.

    Example:
        >>> ScaledLinear(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.scale = nn.Parameter(torch.ones(out_features), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, D) to logits (N, C)."""
        logits = F.linear(x, self.weight) * self.scale
        return logits if self.bias is None else logits + self.bias


@MODELS.register_module()
class TwoStageLoss(nn.Module):
    """One label loss in the first stage of a training, another in the second.

    Args:
        num_classes: C; the head fills it in.
        first, second: Configs of the label losses.

    Example:
        >>> label_loss = dict(
        ...     type='TwoStageLoss',
        ...     first=dict(type='CrossEntropyLoss'),
        ...     second=dict(type='BalancedSoftmaxLoss'))
    """

    @validate_params(num_classes=Whole(at_least=2))
    def __init__(self, num_classes: int, first: dict, second: dict) -> None:
        super().__init__()
        self.losses = nn.ModuleList(build_part(c, num_classes=num_classes) for c in (first, second))
        self.stage = 1

    def set_stage(self, stage: int) -> None:
        """Set the stage, 1 or 2."""
        self.stage = stage

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of the current stage.

        Args:
            logits: (N, C).
            targets: Class indices (N,), or probabilities (N, C).
        """
        return self.losses[self.stage - 1](logits, targets)

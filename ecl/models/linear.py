"""Linear classifiers: cosine classifier, and classifier with one scale per class."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.registry import MODELS
from ecl.settings import Number, validate_params

MODELS.register_module('Linear', module=nn.Linear)


@MODELS.register_module()
class CosineLinear(nn.Linear):
    """Cosine classifier: scale * cos(feature, class weight) [lineage: LDAM, NCL].

    On long-tailed data, norms of features and weights grow with the class counts. The logits of
    this classifier do not depend on norms.

    Args:
        in_features: Dimension D of a feature.
        out_features: Number of classes C.
        scale: Positive factor of the cosine; 16 to 32 are common.
        bias: Add a learnt bias, as NCL does.

    Raises:
        UserError: If ``scale`` is not positive.
    """

    @validate_params(scale=Number(above=0))
    def __init__(
        self, in_features: int, out_features: int, scale: float = 16.0, bias: bool = False
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, D) to logits (N, C)."""
        unit, weight = F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1)
        return F.linear(self.scale * unit, weight, self.bias)


@MODELS.register_module()
class ScaledLinear(nn.Linear):
    """Linear classifier with one scale for each class: scale_c * (w_c, feature) + bias_c.

    Learnable weight scaling (LWS) [lineage: Kang et al., ICLR 2020, arXiv 1910.09217, section 4.3]
    learns only the scales in the second stage. In the first stage they are frozen at 1.

    Args:
        in_features: Dimension D of a feature.
        out_features: Number of classes C.
        bias: Add a learnt bias, which the scales do not multiply.

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

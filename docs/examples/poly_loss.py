"""A label loss: PolyLoss."""

import torch.nn.functional as F
from torch import Tensor, nn

from ecl.registry import MODELS


@MODELS.register_module()
class PolyLoss(nn.Module):
    """Cross-entropy plus epsilon * (1 - p_y) (Leng et al., ICLR 2022, arXiv 2204.12511, eq. 6).

    Args:
        epsilon: Weight of the added term; 0 is plain cross-entropy.
    """

    def __init__(self, epsilon: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean over images of logits (N, C) and class indices (N,)."""
        cross_entropy = F.cross_entropy(logits, targets, reduction='none')
        probability = (-cross_entropy).exp()
        return (cross_entropy + self.epsilon * (1 - probability)).mean()

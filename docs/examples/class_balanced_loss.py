"""A loss of one's own: cross-entropy weighted by the effective number of images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecl.registry import MODELS


@MODELS.register_module()
class ClassBalancedLoss(nn.Module):
    """Weight class c by (1 - beta) / (1 - beta ** n_c), scaled to mean 1 (Cui et al., CVPR 2019).

    Args:
        beta: In [0, 1); 0 weights all classes alike.
        loss_weight: Factor of the loss.
    """

    def __init__(self, beta: float = 0.999, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.loss_weight = loss_weight
        self.class_weights: Tensor | None = None

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Take the training images of each class, which ClassCountsHook brings."""
        weights = (1 - self.beta) / (1 - self.beta ** torch.tensor(counts, dtype=torch.float64))
        self.class_weights = (weights / weights.mean()).float()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over experts and images of the logits (K, N, C) with labels (N,)."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), weights)
        return self.loss_weight * loss

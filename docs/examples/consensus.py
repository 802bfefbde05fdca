"""A method: experts learn from their consensus; confident experts have more weight."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models import ExpertOutputs
from ecl.registry import MODELS


@MODELS.register_module()
class ConsensusLoss(nn.Module):
    """KL divergence of every expert from the mean prediction of all experts.

    Args:
        loss_weight: Factor of the loss.
    """

    needs_peers = True

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the mean over experts and images of logits (K, N, C), a scalar."""
        log_probability = outputs.logits.log_softmax(-1)
        consensus = log_probability.detach().exp().mean(0).expand_as(log_probability)
        divergence = F.kl_div(log_probability, consensus, reduction='none').sum(-1)
        return self.loss_weight * divergence.mean()


@MODELS.register_module()
class ConfidenceAggregator(nn.Module):
    """Mean of the experts' logits, each weighted by its largest probability."""

    def forward(self, outputs: ExpertOutputs) -> Tensor:
        """Map logits (K, N, C) to (N, C)."""
        confidence = outputs.logits.softmax(-1).amax(-1, keepdim=True)
        return torch.sum(confidence / confidence.sum(0) * outputs.logits, 0)

"""TCL: a loss where all experts are wrong (CVPR 2026)."""

import torch
from torch import Tensor, nn

from ecl.models.outputs import ExpertOutputs, target_distribution
from ecl.registry import MODELS
from ecl.settings import Number, validate_params


@MODELS.register_module()
class ConsensusErrorLoss(nn.Module):
    """Penalise logits above the target's if every expert is wrong [lineage; form ours].

    Part of trust-gated distillation (TCL, CVPR 2026), from its description. Let z be the mean of
    the experts' logits. The loss is the mean over images of the sum over classes c of max(z_c -
    z_y, 0). It is 0 for images that at least one expert classifies correctly.

    Args:
        loss_weight: Factor of the loss.

    Raises:
        UserError: If it is negative.
    """

    needs_peers = True

    @validate_params(loss_weight=Number(at_least=0))
    def __init__(self, loss_weight: float = 0.02) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of logits (K, N, C), a scalar of at least 0."""
        labels = target_distribution(targets, outputs.logits.size(-1))
        all_wrong = (outputs.logits.argmax(-1) != labels.argmax(-1)).all(0)
        mean = outputs.logits.mean(0)
        excess = (mean - (mean * labels).sum(-1, keepdim=True)).clamp(min=0).sum(-1)
        return self.loss_weight * torch.where(all_wrong, excess, 0).mean()

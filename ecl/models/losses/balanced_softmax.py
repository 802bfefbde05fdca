"""The label loss: softmax cross-entropy corrected for the class prior."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import check_numbers

from .precision import in_float32


@MODELS.register_module()
class BalancedSoftmaxLoss(nn.Module):
    """Cross-entropy of logits + tau * log prior [lineage: balanced softmax].

    The prior of class c is n_c / sum(n), from the counts that ``set_class_counts`` receives. It
    teaches logits for balanced classes: at prediction nothing is added. Equal counts make it the
    plain cross-entropy.

    Args:
        tau: Strength of the correction; 0 is plain cross-entropy, 1 the balanced softmax.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If a number is negative.
    """

    log_prior: Tensor | None

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_numbers(self, at_least=0, tau=tau, loss_weight=loss_weight)
        self.tau = tau
        self.loss_weight = loss_weight
        # Not in the checkpoint: training always sets it from its data, prediction needs none.
        self.register_buffer('log_prior', None, persistent=False)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the prior from the number of training images of each class, length C.

        Raises:
            UserError: If a class has no training image, since its log prior does not exist.
        """
        numbers = torch.as_tensor(counts, dtype=torch.float64)
        if (numbers <= 0).any():
            empty = (numbers <= 0).nonzero().flatten().tolist()
            raise UserError(f'balanced softmax: no training image of class {empty[:5]}')
        prior = (numbers / numbers.sum()).log().float()
        device = self.log_prior.device if self.log_prior is not None else None
        self.log_prior = prior.to(device)

    def adjust(self, logits: Tensor) -> Tensor:
        """Add tau * log prior to logits (..., C).

        Raises:
            UserError: If the class counts are not set, or not of C classes.
        """
        if self.log_prior is None:
            raise UserError(
                'balanced softmax needs the class counts: add ClassCountsHook to custom_hooks '
                'or call set_class_counts'
            )
        if len(self.log_prior) != logits.size(-1):
            raise UserError(
                f'balanced softmax: {len(self.log_prior)} class counts for '
                f'{logits.size(-1)} logits; check model.head.num_classes'
            )
        return logits + self.tau * self.log_prior.to(logits.device)

    @in_float32
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over experts and images.

        Args:
            logits: (K, N, C).
            labels: (N,) class indices.
        """
        adjusted = self.adjust(logits).flatten(0, 1)
        return self.loss_weight * F.cross_entropy(adjusted, labels.repeat(len(logits)))

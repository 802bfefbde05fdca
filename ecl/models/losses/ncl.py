"""What nested collaborative learning adds to the label loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.registry import MODELS
from ecl.settings import check_numbers, check_whole

from .balanced_softmax import BalancedSoftmaxLoss
from .precision import in_float32
from .reweighted_distill import peer_divergence


@MODELS.register_module()
class NCLLoss(nn.Module):
    """Hard classes and mutual distillation of NCL (Li et al., CVPR 2022) [lineage].

    A baseline, for the place of ``distill_loss`` beside ``BalancedSoftmaxLoss``. With b_k the
    logits of expert k plus the log prior, and H_k(x) the label of image x and the classes that
    expert k scores highest besides, ``num_hard`` in all: mean over experts k and images of

    - cross-entropy of b_k over the classes H_k alone,
    - ``kl_weight`` times the mean over peers j of KL(softmax(sg(b_j)) || softmax(b_k)),
    - ``hard_kl_weight`` times the same over the classes H_k alone.

    Where the released code differs from the paper's idea this follows the idea: peers teach but do
    not learn from it (sg), every expert has hard classes of its own, and the other classes leave
    the softmax (there their logits become 0).

    Args:
        num_classes: C.
        num_hard: Size of H_k, the label included; NCL takes 30 of 100 classes, 300 of 1,000.
        kl_weight: Weight of the distillation over all classes.
        hard_kl_weight: Weight of that over the hard classes.
        loss_weight: Factor of the whole.

    Raises:
        UserError: If ``num_hard`` is not in 2..C, or a weight is negative.
    """

    #: The label classifiers teach each other; there is no second one.
    uses_distill_classifier = False

    def __init__(
        self,
        num_classes: int,
        num_hard: int,
        kl_weight: float = 0.6,
        hard_kl_weight: float = 0.6,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_whole(self, at_least=2, at_most=num_classes, num_hard=num_hard)
        check_numbers(self, at_least=0, kl_weight=kl_weight, hard_kl_weight=hard_kl_weight)
        check_numbers(self, at_least=0, loss_weight=loss_weight)
        self.num_hard = num_hard
        self.kl_weight = kl_weight
        self.hard_kl_weight = hard_kl_weight
        self.loss_weight = loss_weight
        self.prior = BalancedSoftmaxLoss()

    def hard_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The label and the other classes with the highest logits.

        Args:
            logits: (K, N, C).
            labels: (N,).

        Returns:
            Class indices (K, N, num_hard), the label first.
        """
        label = labels.expand(len(logits), -1).unsqueeze(-1)
        others = logits.detach().scatter(-1, label, -torch.inf)
        return torch.cat([label, others.topk(self.num_hard - 1).indices], dim=-1)

    @in_float32
    def forward(self, label_logits: Tensor, distill_logits: Tensor, labels: Tensor) -> Tensor:
        """Distil.

        Args:
            label_logits: (K, N, C).
            distill_logits: Not used.
            labels: (N,) class indices.

        Returns:
            A scalar.
        """
        balanced = self.prior.adjust(label_logits)
        cross_entropy, divergence = [], []
        for k, hard in enumerate(self.hard_classes(label_logits, labels)):
            seen_by_k = balanced.gather(-1, hard.expand(len(balanced), -1, -1))
            cross_entropy.append(F.cross_entropy(seen_by_k[k], torch.zeros_like(labels)))
            divergence.append(peer_divergence(seen_by_k, seen_by_k, 1.0)[k].mean())
        return self.loss_weight * (
            torch.stack(cross_entropy).mean()
            + self.kl_weight * peer_divergence(balanced, balanced, 1.0).mean()
            + self.hard_kl_weight * torch.stack(divergence).mean()
        )

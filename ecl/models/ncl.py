"""NCL: nested collaborative learning (Li et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.losses.classification import BalancedSoftmaxLoss
from ecl.models.losses.distillation import peer_divergence
from ecl.models.outputs import ExpertOutputs, require_hard_targets
from ecl.registry import MODELS
from ecl.settings import Number, SettingError, Whole, validate_params


@MODELS.register_module()
class NCLLoss(nn.Module):
    """Hard classes and mutual distillation of NCL [lineage].

    Li et al., CVPR 2022 (arXiv 2203.15359). A loss between experts, used together with
    ``BalancedSoftmaxLoss``. Let b_k be the logits of expert k plus the log prior, and H_k(x) the
    hard classes: the label of image x and the other classes with the highest scores of expert k,
    ``num_hard`` in total. The loss is the mean over experts k and images of

    - cross-entropy of b_k over the classes H_k only,
    - ``kl_weight`` times the mean over peers j of KL(softmax(sg(b_j)) || softmax(b_k)),
    - ``hard_kl_weight`` times the same over the classes H_k only.

    Where the released code differs from the paper, this class follows the paper: the teacher gets
    no gradient (sg), every expert has its own hard classes, and the other classes are removed from
    the softmax (the released code sets their logits to 0).

    Args:
        num_classes: C.
        num_hard: Size of H_k, the label included; NCL takes 30 of 100 classes, 300 of 1,000.
        kl_weight: Weight of the distillation over all classes.
        hard_kl_weight: Weight of that over the hard classes.
        loss_weight: Factor of the total loss.

    Raises:
        UserError: If ``num_hard`` is not in 2..C, or a weight is negative.
    """

    needs_peers = True

    @validate_params(
        num_hard=Whole(at_least=2),
        kl_weight=Number(at_least=0),
        hard_kl_weight=Number(at_least=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        num_hard: int,
        kl_weight: float = 0.6,
        hard_kl_weight: float = 0.6,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if num_hard > num_classes:
            raise SettingError(self, 'num_hard', num_hard, f'2 to {num_classes}, the classes')
        self.num_hard = num_hard
        self.kl_weight = kl_weight
        self.hard_kl_weight = hard_kl_weight
        self.loss_weight = loss_weight
        self.prior = BalancedSoftmaxLoss(num_classes)

    def hard_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the label and the other classes with the highest logits.

        Args:
            logits: (K, N, C).
            labels: (N,).

        Returns:
            Class indices (K, N, num_hard), the label first.
        """
        label = labels.expand(len(logits), -1).unsqueeze(-1)
        others = logits.detach().scatter(-1, label, -torch.inf)
        return torch.cat([label, others.topk(self.num_hard - 1).indices], dim=-1)

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            outputs: Outputs of the K experts.
            targets: Class indices (N,).

        Raises:
            UserError: If the targets are mixed.
        """
        labels = require_hard_targets(self, targets)
        balanced = self.prior.adjust(outputs.logits)
        cross_entropy, divergence = [], []
        for k, hard in enumerate(self.hard_classes(outputs.logits, labels)):
            seen_by_k = balanced.gather(-1, hard.expand(len(balanced), -1, -1))
            cross_entropy.append(F.cross_entropy(seen_by_k[k], torch.zeros_like(labels)))
            divergence.append(peer_divergence(seen_by_k, seen_by_k, 1.0)[k].mean())
        return self.loss_weight * (
            torch.stack(cross_entropy).mean()
            + self.kl_weight * peer_divergence(balanced, balanced, 1.0).mean()
            + self.hard_kl_weight * torch.stack(divergence).mean()
        )

"""Distillation of features between the experts."""

from itertools import permutations

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from ecl.models.outputs import ExpertOutputs
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


@MODELS.register_module()
class FeatureDistillLoss(nn.Module):
    """Predict each peer's feature from the expert's own feature [abstract; form ours].

    The experts' features have different bases, so a linear adapter for each ordered pair k <- j
    maps f_k into the space of expert j: mean over pairs and images of 1 - cos(A_kj f_k, sg(f_j)).
    Adapters start as the identity.

    Args:
        in_channels: Dimension D of a feature.
        num_experts: K, at least 2.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If a number is out of range.
    """

    needs_peers = True

    @validate_params(
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=2),
        loss_weight=Number(at_least=0),
    )
    def __init__(self, in_channels: int, num_experts: int, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.pairs = list(permutations(range(num_experts), 2))
        self.adapters = nn.ModuleList(
            nn.Linear(in_channels, in_channels, bias=False) for _ in self.pairs
        )
        for weight in self.adapters.parameters():
            nn.init.eye_(weight)

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of the K features (N, D), a scalar."""
        students = torch.stack([outputs.feats[k] for k, _ in self.pairs])  # (K (K - 1), N, D)
        teachers = torch.stack([outputs.feats[j].detach() for _, j in self.pairs])
        weights = torch.stack([*self.adapters.parameters()])
        predicted = F.normalize(students @ weights.mT, dim=2)
        similarity = (predicted * F.normalize(teachers, dim=2)).sum(2)
        return self.loss_weight * (1 - similarity.mean())


@MODELS.register_module()
class RelationDistillLoss(nn.Module):
    """Match the similarities between images of a batch across experts [abstract; form ours].

    With S_k the N x N matrix of cosine similarities between the features of expert k: mean over
    ordered pairs k <- j of the mean squared difference of S_k and sg(S_j). The experts need no
    common basis. The loss uses the images of all processes.

    Args:
        loss_weight: Factor of the loss.

    Raises:
        UserError: If ``loss_weight`` is negative.
    """

    needs_peers = True

    @validate_params(loss_weight=Number(at_least=0))
    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of the K features (N, D), a scalar."""
        unit = F.normalize(torch.stack(outputs.feats), dim=-1)
        batch = torch.cat(all_gather(unit.detach()), dim=1)
        relations = unit @ batch.transpose(1, 2)
        # Mean over j != k of (S_k - S_j)^2, without forming the pairs.
        teacher = relations.detach()
        num_peers = len(unit) - 1
        mean = (teacher.sum(0) - teacher) / num_peers
        mean_square = (teacher.square().sum(0) - teacher.square()) / num_peers
        loss = (relations.square() - 2 * relations * mean + mean_square).mean()
        # The columns are detached: S is symmetric, so they would add the same gradient again.
        return self.loss_weight * (2 * loss - loss.detach())

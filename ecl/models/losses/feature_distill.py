"""Feature-level distillation through adapters."""

from itertools import permutations

import torch.nn.functional as F
from torch import Tensor, nn

from ecl.registry import MODELS
from ecl.settings import check_numbers, check_whole

from .precision import in_float32


@MODELS.register_module()
class FeatureDistillLoss(nn.Module):
    """Predict each peer's feature from one's own [abstract for its presence; form ours].

    The experts' features share no basis, so a linear adapter for each ordered pair k <- j maps
    f_k into the space of expert j: mean over pairs and images of
    1 - cos(A_kj f_k, sg(f_j)). Adapters start as the identity.

    Args:
        in_channels: Dimension D of a feature.
        num_experts: K, at least 2.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If a number is out of range.
    """

    def __init__(self, in_channels: int, num_experts: int, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_whole(self, at_least=1, in_channels=in_channels)
        check_whole(self, at_least=2, num_experts=num_experts)
        check_numbers(self, at_least=0, loss_weight=loss_weight)
        self.loss_weight = loss_weight
        self.pairs = list(permutations(range(num_experts), 2))
        self.adapters = nn.ModuleList(
            nn.Linear(in_channels, in_channels, bias=False) for _ in self.pairs
        )
        for weight in self.adapters.parameters():
            nn.init.eye_(weight)

    @in_float32
    def forward(self, *feats: Tensor) -> Tensor:
        """Distil K features (N, D); return a scalar."""
        distances = [
            1 - F.cosine_similarity(adapter(feats[k]), feats[j].detach(), dim=1).mean()
            for (k, j), adapter in zip(self.pairs, self.adapters, strict=True)
        ]
        total = sum(distances, start=distances[0].new_zeros(()))
        return self.loss_weight * total / len(distances)

"""Feature-level distillation without a basis."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from ecl.registry import MODELS
from ecl.settings import check_numbers

from .precision import in_float32


@MODELS.register_module()
class RelationDistillLoss(nn.Module):
    """Match how the experts relate the images of a batch [abstract for its presence; form ours].

    With S_k the N x N matrix of cosine similarities between the features of expert k: mean over
    ordered pairs k <- j of the mean squared difference of S_k and sg(S_j). It needs no basis that
    the experts would share. The batch is that of all processes.

    Args:
        loss_weight: Factor of the loss.

    Raises:
        UserError: If ``loss_weight`` is negative.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_numbers(self, at_least=0, loss_weight=loss_weight)
        self.loss_weight = loss_weight

    @in_float32
    def forward(self, *feats: Tensor) -> Tensor:
        """Distil K features (N, D); return a scalar."""
        unit = F.normalize(torch.stack(feats), dim=-1)
        batch = torch.cat(all_gather(unit.detach()), dim=1)
        relations = unit @ batch.transpose(1, 2)
        # Mean over j != k of (S_k - S_j)^2, without forming the pairs.
        teacher = relations.detach()
        num_peers = len(feats) - 1
        mean = (teacher.sum(0) - teacher) / num_peers
        mean_square = (teacher.square().sum(0) - teacher.square()) / num_peers
        loss = (relations.square() - 2 * relations * mean + mean_square).mean()
        # S is symmetric: the columns, kept constant here, would add the gradient of the rows.
        return self.loss_weight * (2 * loss - loss.detach())

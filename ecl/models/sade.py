"""SADE: experts for three test distributions, and weights that combine them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.losses.classification import ClassCountLoss
from ecl.models.outputs import ExpertOutputs
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


@MODELS.register_module()
class InverseSoftmaxLoss(ClassCountLoss):
    """Cross-entropy of logits + log prior - tau * log of the inverse prior [lineage].

    Zhang et al., NeurIPS 2022 (arXiv 2107.09249), equation 3: the loss of the expert for test data
    in which the rare classes are frequent. The inverse prior gives the class of rank r from the
    top the prior of the class of rank r from the bottom.

    Args:
        num_classes: C.
        tau: At least 0; 0 is the balanced softmax.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is negative.
    """

    shift: Tensor

    @validate_params(tau=Number(at_least=0), loss_weight=Number(at_least=0))
    def __init__(self, num_classes: int, tau: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__(num_classes)
        self.tau = tau
        self.loss_weight = loss_weight
        self.register_buffer('shift', torch.zeros(num_classes), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the shift of the logits from counts (C,)."""
        order = counts.argsort(stable=True)
        inverse = torch.empty_like(counts)
        inverse[order] = counts[order.flip(0)]
        # Both priors have the same sum, so counts can be used instead of priors: a common factor
        # has no effect.
        self.shift.copy_(counts.log() - self.tau * inverse.log())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean over images.

        Args:
            logits: (N, C).
            targets: Class indices (N,), or probabilities (N, C).
        """
        self.require_class_counts()
        return self.loss_weight * F.cross_entropy(logits + self.shift, targets)


@MODELS.register_module()
class WeightedAggregator(nn.Module):
    """Weighted mean of the experts' logits [lineage: SADE, equation 4].

    The weights are equal until test-time adaptation sets them for a test set.

    Args:
        num_experts: K.
    """

    weights: Tensor

    @validate_params(num_experts=Whole(at_least=1))
    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.register_buffer('weights', torch.full((num_experts,), 1 / num_experts))

    def forward(self, outputs: ExpertOutputs) -> Tensor:
        """Map logits (K, N, C) to (N, C)."""
        return torch.einsum('k,knc->nc', self.weights, outputs.logits)


#: The search stops if a weight falls to this value, as in the released code.
SMALLEST = 0.05
#: Largest number of Adam steps of the search, and its learning rate.
STEPS = 100
RATE = 0.05
#: Images whose logits are in double precision at the same time.
CHUNK = 1000


def agreement(weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Compute how far the predictions for two views of an image agree [lineage: SADE].

    As in the released code, the agreement is the cosine of the two predicted distributions. The
    product of equation 5 also grows with the confidence, so it prefers an overconfident expert.

    Args:
        weights: Weights of the experts, (K,).
        first, second: Logits of the two views, (K, N, C).

    Returns:
        Cosine for each image, (N,), 0 to 1, in double precision.
    """
    weights = weights.double()
    found = []
    for views in _chunks(first, second):
        one, other = (
            torch.einsum('k,knc->nc', weights, view.double()).softmax(-1) for view in views
        )
        found.append(F.cosine_similarity(one, other, dim=-1))
    return torch.cat(found)


def _chunks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(first.split(CHUNK, dim=1), second.split(CHUNK, dim=1), strict=True)


def find_weights(first: Tensor, second: Tensor) -> Tensor:
    """Find the weights of the experts for which two views of unlabelled images agree most.

    Test-time adaptation [lineage: Zhang et al., NeurIPS 2022, arXiv 2107.09249, section 4.3]: an
    expert that suits the test distribution predicts its images more stably. The weights are equal
    at the start. Gradient ascent maximises the mean :func:`agreement` until one weight falls to
    ``SMALLEST``.

    Args:
        first, second: Logits of two augmented views, (K, N, C).

    Returns:
        Weights (K,), of sum 1.

    Example:
        >>> stable = 4 * torch.eye(3).repeat(20, 1)
        >>> unstable = stable.roll(1, dims=0)
        >>> find_weights(
        ...     torch.stack([stable, stable]), torch.stack([stable, unstable])).argmax().item()
        0
    """
    free = torch.zeros(len(first), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        for views in _chunks(first, second):
            (-agreement(free.softmax(0), *views).sum() / first.size(1)).backward()
        before = free.detach().clone()
        optimizer.step()
        if free.softmax(0).min() < SMALLEST:
            return before.softmax(0)
    return free.detach().softmax(0)

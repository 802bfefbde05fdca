"""RIDE: diversity loss between experts, and routers that select the number of experts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.losses.ldam import DeferredLoss
from ecl.models.outputs import ExpertOutputs, target_distribution
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


@MODELS.register_module()
class ExpertDiversityLoss(DeferredLoss):
    """Diversity loss: reward experts whose predictions differ from their mean [lineage].

    Wang et al., ICLR 2021 (arXiv 2010.01809), equation 3: minus the KL divergence of the mean
    prediction (constant) from that of each expert, averaged over experts and images. In the last
    part of the training the logits of class c are divided by T_c, proportional to
    1 - gamma + gamma * n_c / mean n and ``temperature`` for the largest class. T_c is smaller for
    rare classes, so that experts differ more there. Before that, T_c is ``temperature`` for all
    classes, as in the released code. :class:`~ecl.engine.TrainingProgressHook` passes the finished
    share of the training.

    Args:
        num_classes: C.
        temperature: Positive factor of the temperatures.
        gamma: How strongly the temperatures depend on the class counts, in [0, 1).
        reweight_from: Share of the training after which they depend on the class counts; 1 is
            never.
        loss_weight: Factor of the divergence, at least 0.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    needs_peers = True
    class_temperatures: Tensor

    @validate_params(
        temperature=Number(above=0),
        gamma=Number(at_least=0, below=1),
        reweight_from=Number(at_least=0, at_most=1),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        temperature: float = 1.0,
        gamma: float = 0.05,
        reweight_from: float = 0.8,
        loss_weight: float = 0.2,
    ) -> None:
        super().__init__(num_classes, reweight_from)
        self.temperature = temperature
        self.gamma = gamma
        self.loss_weight = loss_weight
        self.register_buffer('class_temperatures', torch.ones(num_classes), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the temperatures from counts (C,)."""
        relative = 1 - self.gamma + self.gamma * counts / counts.mean()
        self.class_temperatures.copy_(self.temperature * relative / relative.max())

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of logits (K, N, C), a scalar that is at most 0.

        Raises:
            UserError: If class counts or progress are not set.
        """
        self.require_class_counts()
        self.require_progress()
        temperatures = torch.where(self.deferred, self.class_temperatures, self.temperature)
        mean = (outputs.logits.detach().mean(0) / temperatures).log_softmax(-1)
        experts = (outputs.logits / temperatures).log_softmax(-1)
        divergence = (mean.exp() * (mean - experts)).sum(-1).mean()
        # As in distillation, the square keeps the scale of the gradient.
        return -self.loss_weight * temperatures.mean() ** 2 * divergence


@MODELS.register_module()
class RouterAggregator(nn.Module):
    """Average the first experts, as many as the routers select [lineage: RIDE, section 3.3].

    After expert k, a router gets the feature of this expert and the highest probabilities of the
    mean so far, and decides whether the next expert is needed. It is trained with binary
    cross-entropy: the next expert is needed if the mean so far is wrong and a later expert is
    right. Its gradient does not reach the experts [ours]. In the released code, a router gets the 5
    highest logits. That code also weights the images that need another expert by 20, and shares one
    last layer among the routers.

    All experts are computed; :meth:`experts_used` returns which ones would have been enough.

    Args:
        num_classes: C.
        num_experts: K.
        in_channels: D.
        hid_channels: Hidden units of a router.
        num_logits: Number of the highest probabilities that a router gets.
        needed_weight: Weight of the images that need the next expert, at least 1.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    @validate_params(
        num_classes=Whole(at_least=2),
        num_experts=Whole(at_least=1),
        in_channels=Whole(at_least=1),
        hid_channels=Whole(at_least=1),
        num_logits=Whole(at_least=1),
        needed_weight=Number(at_least=1),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        num_experts: int,
        in_channels: int,
        hid_channels: int = 16,
        num_logits: int = 20,
        needed_weight: float = 10.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_logits = min(num_logits, num_classes)
        self.needed_weight = needed_weight
        self.loss_weight = loss_weight
        self.features = nn.ModuleList(
            nn.Linear(in_channels, hid_channels) for _ in range(num_experts - 1)
        )
        self.decisions = nn.ModuleList(
            nn.Linear(hid_channels + self.num_logits, 1) for _ in range(num_experts - 1)
        )

    def decide(self, outputs: ExpertOutputs) -> Tensor:
        """Compute the logits (K - 1, N) that the next expert is needed."""
        so_far = _running_means(outputs.logits.detach())
        decisions = []
        for k, (features, decision) in enumerate(zip(self.features, self.decisions, strict=True)):
            hidden = F.relu(features(F.normalize(outputs.feats[k].detach(), dim=-1)))
            highest = so_far[k].softmax(-1).topk(self.num_logits).values
            decisions.append(decision(torch.cat([hidden, highest], dim=-1)).squeeze(-1))
        if not decisions:
            return outputs.logits.new_zeros(0, outputs.logits.size(1))
        return torch.stack(decisions)

    def experts_used(self, outputs: ExpertOutputs) -> Tensor:
        """Return the experts that an image uses, as 0 and 1 of shape (K, N)."""
        asked = (self.decide(outputs) > 0).to(outputs.logits.dtype).cumprod(0)
        return torch.cat([torch.ones_like(outputs.logits[:1, :, 0]), asked])

    def forward(self, outputs: ExpertOutputs) -> Tensor:
        """Map logits (K, N, C) to (N, C)."""
        used = self.experts_used(outputs)
        return torch.einsum('kn,knc->nc', used / used.sum(0), outputs.logits)

    def loss(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of the routers, a scalar; 0 with one expert."""
        decisions = self.decide(outputs)
        if not len(decisions):
            return outputs.logits.new_zeros(())
        label = target_distribution(targets, outputs.logits.size(-1)).argmax(-1)
        so_far = _running_means(outputs.logits.detach())
        wrong = so_far.argmax(-1) != label
        right = outputs.logits.detach().argmax(-1) == label
        # Whether any expert after k is right, computed from the last expert backwards.
        later = right.int().flip(0).cummax(0).values.flip(0).bool()
        needed = (wrong[:-1] & later[1:]).to(decisions.dtype)
        weights = 1 + (self.needed_weight - 1) * needed
        return self.loss_weight * F.binary_cross_entropy_with_logits(decisions, needed, weights)


def _running_means(logits: Tensor) -> Tensor:
    """Return the mean of the first k experts for each k: (K, N, C)."""
    number = torch.arange(1, len(logits) + 1, device=logits.device)[:, None, None]
    return logits.cumsum(0) / number

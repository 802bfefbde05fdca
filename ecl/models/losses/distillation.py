"""Losses between the experts: distillation of predictions and features, NCL, shared errors."""

from itertools import permutations

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from ecl.models.losses.classification import BalancedSoftmaxLoss
from ecl.models.outputs import READINGS, ExpertOutputs, require_hard_targets, target_distribution
from ecl.registry import MODELS, build_part
from ecl.settings import Number, OneOf, SettingError, Whole, validate_params


def peer_divergence(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    teacher_weights: Tensor | None = None,
) -> Tensor:
    """Compute the KL divergence of each expert from its peers, averaged over the peers.

    For expert k: mean over j != k of v_j KL(softmax(sg(t_j) / T) || softmax(s_k / T)) * T ** 2.
    The cross-entropy part is linear in the teacher, so the peers' (weighted) mean prediction
    stands for them all and no K x K pairs are formed.

    Args:
        teacher_logits: (K, N, C), detached here. K is at least 2.
        student_logits: (K, N, C).
        temperature: T.
        teacher_weights: v, (K, N); None for 1.

    Returns:
        (K, N).
    """
    teacher = (teacher_logits.detach() / temperature).log_softmax(-1)
    probability = teacher.exp()
    negative_entropy = (probability * teacher).sum(-1)
    if teacher_weights is not None:
        probability = probability * teacher_weights.unsqueeze(-1)
        negative_entropy = negative_entropy * teacher_weights
    student = (student_logits / temperature).log_softmax(-1)
    factor = temperature**2 / (len(teacher) - 1)
    peers = factor * (probability.sum(0) - probability)
    peers_negative_entropy = factor * (negative_entropy.sum(0) - negative_entropy)
    return peers_negative_entropy - (peers * student).sum(-1)


@MODELS.register_module()
class ReweightedDistillLoss(nn.Module):
    """Distillation from every expert to every other one, re-weighted [abstract; form ours].

    Mean over images and ordered pairs of experts of the divergence, times the weights of
    ``weighting``. ``model.head.reading`` says which classifiers teach and learn.

    Args:
        num_classes: C.
        num_experts: K, at least 2.
        reading: Filled in by the head: a key of :data:`~ecl.models.outputs.READINGS`.
        weighting: Config of an :class:`~ecl.models.losses.ImageWeighting`, such as
            ``dict(type='DistillWeighting')``. None is plain mutual distillation (Zhang et al.,
            CVPR 2018, arXiv 1706.00384, equation 5, for any K) [lineage].
        temperature: T, positive.
        loss_weight: Factor of the loss, at least 0.

    Raises:
        UserError: If an option is out of range, naming it.
    """

    needs_peers = True

    @validate_params(
        num_experts=Whole(at_least=2),
        reading=OneOf(*READINGS),
        temperature=Number(above=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        num_experts: int,
        reading: str = 'single',
        weighting: dict | None = None,
        temperature: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.reading = READINGS[reading]
        self.temperature = temperature
        self.loss_weight = loss_weight
        known = dict(num_classes=num_classes, num_experts=num_experts, reading=reading)
        self.weighting = build_part(weighting, **known) if weighting else None

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            outputs: Outputs of the K experts.
            targets: Class indices (N,), or probabilities (N, C).
        """
        by_student = by_teacher = None
        if self.weighting is not None:
            weights = self.weighting(outputs, targets)
            if self.weighting.of == 'teacher':
                by_teacher = weights
            else:
                by_student = weights
        teacher = getattr(outputs, self.reading.teacher)
        divergence = torch.stack(
            [
                peer_divergence(teacher, getattr(outputs, name), self.temperature, by_teacher)
                for name in self.reading.students
            ]
        )
        if by_student is not None:
            divergence = divergence * by_student
        return self.loss_weight * divergence.mean()


@MODELS.register_module()
class FeatureDistillLoss(nn.Module):
    """Predict each peer's feature from the own one [abstract for its presence; form ours].

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
    """Match how the experts relate the images of a batch [abstract for its presence; form ours].

    With S_k the N x N matrix of cosine similarities between the features of expert k: mean over
    ordered pairs k <- j of the mean squared difference of S_k and sg(S_j). The experts need no
    common basis. The batch is that of all processes.

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
        # S is symmetric: the columns, constant here, would add the gradient of the rows.
        return self.loss_weight * (2 * loss - loss.detach())


@MODELS.register_module()
class NCLLoss(nn.Module):
    """Hard classes and mutual distillation of NCL [lineage].

    Li et al., CVPR 2022 (arXiv 2203.15359). A loss between experts beside ``BalancedSoftmaxLoss``.
    With b_k the logits of expert k plus the log prior, and H_k(x) the label of image x and the
    classes that expert k scores highest besides, ``num_hard`` in all: mean over experts k and
    images of

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


@MODELS.register_module()
class ConsensusErrorLoss(nn.Module):
    """Lower the logits that exceed the target's where every expert is wrong [lineage; form ours].

    Part of trust-gated distillation (TCL, CVPR 2026), from its description. With z the mean of the
    experts' logits: mean over images of the sum over classes c of max(z_c - z_y, 0), counted only
    on images that no expert predicts rightly.

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

"""Distillation of predictions between the experts."""

import torch
from torch import Tensor, nn

from ecl.models.outputs import READINGS, ExpertOutputs
from ecl.registry import MODELS, build_part
from ecl.settings import Number, OneOf, Whole, validate_params


def peer_divergence(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float,
    teacher_weights: Tensor | None = None,
) -> Tensor:
    """Compute the KL divergence of each expert from its peers, averaged over the peers.

    For expert k: mean over j != k of v_j KL(softmax(sg(t_j) / T) || softmax(s_k / T)) * T ** 2.
    The cross-entropy part is linear in the teacher, so the peers' (weighted) mean prediction is
    enough, and no K x K pairs are computed.

    Args:
        teacher_logits: (K, N, C), detached here. K is at least 2.
        student_logits: (K, N, C).
        temperature: T.
        teacher_weights: v, (K, N); None means 1.

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

    The loss is the divergence times the weights of ``weighting``, averaged over images and ordered
    pairs of experts. ``model.head.reading`` says which classifiers teach and learn.

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
        UserError: If an option is out of range. The message names the option.
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

"""Online distillation between the experts, re-weighted."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import check_choice, check_numbers, check_whole

from .precision import in_float32
from .prediction_comparison import COMPARISONS, PredictionComparison


def peer_divergence(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """KL divergence of each expert from its peers, averaged over them.

    For expert k: mean over j != k of KL(softmax(sg(t_j) / T) || softmax(s_k / T)) * T ** 2. The
    cross-entropy part is linear in the teacher, so the peers' mean prediction stands for them all
    and no K x K pairs are formed.

    Args:
        teacher_logits: (K, N, C), detached here. K is at least 2.
        student_logits: (K, N, C).
        temperature: T.

    Returns:
        (K, N).
    """
    teacher = (teacher_logits.detach() / temperature).log_softmax(-1)
    probability = teacher.exp()
    negative_entropy = (probability * teacher).sum(-1)
    student = (student_logits / temperature).log_softmax(-1)
    num_peers = len(teacher) - 1
    peers = (probability.sum(0) - probability) / num_peers
    peers_negative_entropy = (negative_entropy.sum(0) - negative_entropy) / num_peers
    return (peers_negative_entropy - (peers * student).sum(-1)) * temperature**2


@MODELS.register_module()
class ReweightedDistillLoss(nn.Module):
    """Distillation from every expert to every other one, more where the transfer lags.

    Which classifiers teach is ``teacher``, which learn ``student``. Each image's
    divergence is multiplied by the weight of :class:`PredictionComparison` [abstract for the
    comparison, form ours] and averaged over images and ordered pairs of experts.

    Args:
        num_classes: C.
        num_experts: K, at least 2.
        student: ``'distill'``: the classifiers apart from labels learn (the strict reading);
            ``'label'``: the label classifiers themselves do [lineage: NCL]; ``'both'``: both, and
            the loss is the mean of the two.
        comparison: ``'ratio'``, ``'difference'``, ``'loss_ratio'``, or ``'none'`` for weights of 1.
        teacher: ``'label'``: the label classifiers teach; ``'distill'``: the others do, for a head
            whose labels supervise them too.
        temperature: T, positive.
        loss_weight: Factor of the loss.
        granularity, gamma, eps, w_max, class_momentum: As in :class:`PredictionComparison`.

    Raises:
        UserError: If an option is out of range, naming it.
    """

    STUDENTS: ClassVar = {
        'distill': (1,),
        'label': (0,),
        'both': (0, 1),
    }
    TEACHERS: ClassVar = {'label': 0, 'distill': 1}

    def __init__(
        self,
        num_classes: int,
        num_experts: int,
        student: str = 'both',
        comparison: str = 'ratio',
        teacher: str = 'label',
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        granularity: str = 'sample',
        gamma: float = 1.0,
        eps: float = 1e-3,
        w_max: float = 5.0,
        class_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        check_whole(self, at_least=2, num_experts=num_experts)
        check_choice(self, self.STUDENTS, student=student)
        check_choice(self, self.TEACHERS, teacher=teacher)
        check_choice(self, (*COMPARISONS, 'none'), comparison=comparison)
        check_numbers(self, above=0, temperature=temperature)
        check_numbers(self, at_least=0, loss_weight=loss_weight)
        if student == 'label' and comparison != 'none':
            raise UserError(
                "student = 'label' leaves no classifier that peers alone teach to compare with: "
                "set comparison = 'none', or student = 'both'"
            )
        self.students = self.STUDENTS[student]
        self.teacher = teacher
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.weighting = None
        if comparison != 'none':
            self.weighting = PredictionComparison(
                num_experts,
                num_classes,
                comparison,
                granularity,
                gamma=gamma,
                eps=eps,
                w_max=w_max,
                class_momentum=class_momentum,
            )

    @property
    def uses_distill_classifier(self) -> bool:
        """Whether the experts need a second classifier, taught by peers alone."""
        return self.students != self.STUDENTS['label']

    @in_float32
    def forward(self, label_logits: Tensor, distill_logits: Tensor, labels: Tensor) -> Tensor:
        """Distil.

        Args:
            label_logits: (K, N, C), of the label classifiers.
            distill_logits: (K, N, C), of the distill classifiers.
            labels: (N,) class indices.

        Returns:
            A scalar.
        """
        logits = (label_logits, distill_logits)
        teacher = logits[self.TEACHERS[self.teacher]]
        divergence = torch.stack(
            [peer_divergence(teacher, logits[i], self.temperature) for i in self.students]
        )
        if self.weighting is not None:
            divergence = divergence * self.weighting(label_logits, distill_logits, labels)
        return self.loss_weight * divergence.mean()

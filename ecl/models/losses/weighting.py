"""Weights of images in the distillation between experts."""

from collections.abc import Callable

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.outputs import READINGS, ExpertOutputs, target_distribution
from ecl.registry import MODELS
from ecl.settings import Number, OneOf, Whole, validate_params


def probability_ratio(label_ce: Tensor, distill_ce: Tensor, eps: float) -> Tensor:
    """Return (p_label + eps) / (p_distill + eps) [ours]."""
    return ((-label_ce).exp() + eps) / ((-distill_ce).exp() + eps)


def probability_difference(label_ce: Tensor, distill_ce: Tensor, eps: float) -> Tensor:
    """Return 1 + p_label - p_distill, at least eps [ours]."""
    return (1 + (-label_ce).exp() - (-distill_ce).exp()).clamp(min=eps)


def loss_ratio(label_ce: Tensor, distill_ce: Tensor, eps: float) -> Tensor:
    """Return (eps - log p_distill) / (eps - log p_label), a ratio of cross-entropies [ours].

    As both classifiers fit the images, this ratio approaches 1 later than the ratio of
    probabilities.
    """
    return (eps + distill_ce) / (eps + label_ce)


#: Each compares the cross-entropies of the two classifiers on the annotated class, (K, N).
COMPARISONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    'ratio': probability_ratio,
    'difference': probability_difference,
    'loss_ratio': loss_ratio,
}


class ImageWeighting(nn.Module):
    """Base class of modules that weight images: (outputs, targets) -> weights (K, N) in float32.

    :class:`~ecl.engine.DistillWeightHook` records the weights of every such module.

    Attributes:
        of: ``'student'``: weight k multiplies what expert k learns; ``'teacher'``: what it
            teaches.
    """

    of = 'student'


@MODELS.register_module()
class DistillWeighting(ImageWeighting):
    """Weight images by comparing the label and the distill classifier [abstract; form ours].

    With p[y] the probability that a classifier of expert k gives to the annotated class,
    r = comparison(p_label[y], p_distill[y]) and w = clip(r ** gamma, 1 / w_max, w_max), scaled to
    mean 1 over the batch of all processes for each expert. The weight is large if the distill
    classifier is less certain than the label classifier. No gradient flows through the weights.
    With mixed labels, log p[y] is the mean of log p under the label distribution.

    Args:
        num_experts: K.
        num_classes: C.
        comparison: ``'ratio'`` or ``'difference'`` of the two probabilities, or ``'loss_ratio'`` of
            the two cross-entropies.
        granularity: ``'sample'`` compares on each image; ``'class'`` uses an exponential moving
            average of r for each expert and class, a buffer of the checkpoint.
        gamma: Exponent; 0 makes all weights 1, a negative one inverts them.
        eps: Positive constant that bounds the ratio.
        w_max: Largest weight before scaling, at least 1.
        class_momentum: Share of the old average that an update keeps, in [0, 1).

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    class_average: Tensor | None

    @validate_params(
        num_experts=Whole(at_least=1),
        num_classes=Whole(at_least=1),
        comparison=OneOf(*COMPARISONS),
        granularity=OneOf('sample', 'class'),
        gamma=Number(),
        eps=Number(above=0),
        w_max=Number(at_least=1),
        class_momentum=Number(at_least=0, below=1),
    )
    def __init__(
        self,
        num_experts: int,
        num_classes: int,
        comparison: str = 'ratio',
        granularity: str = 'sample',
        gamma: float = 1.0,
        eps: float = 1e-3,
        w_max: float = 5.0,
        class_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.compare = COMPARISONS[comparison]
        self.gamma = gamma
        self.eps = eps
        self.w_max = w_max
        self.class_momentum = class_momentum
        average = torch.ones(num_experts, num_classes) if granularity == 'class' else None
        self.register_buffer('class_average', average)

    @torch.no_grad()
    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compare the two classifiers of every expert.

        Args:
            outputs: Outputs of the K experts, with ``aux_logits``.
            targets: Class indices (N,), or probabilities (N, C).

        Returns:
            Weights (K, N) in float32, of mean 1 for each expert.

        Raises:
            UserError: If the experts have a single classifier.
        """
        if outputs.aux_logits is None:
            raise UserError(
                "DistillWeighting compares two classifiers: got reading='single', which has one. "
                "Set model.head.reading, for example to 'shared_labels'."
            )
        labels = target_distribution(targets, self.num_classes)
        label_ce, distill_ce = (
            -(logits.float().log_softmax(-1) * labels).sum(-1)
            for logits in (outputs.logits, outputs.aux_logits)
        )
        r = self.compare(label_ce, distill_ce, self.eps)
        if self.class_average is not None:
            _follow_class_means(self.class_average, r, labels, self.class_momentum)
            r = self.class_average @ labels.T
        return scale_to_mean_one(r.pow(self.gamma).clamp(1 / self.w_max, self.w_max))


@MODELS.register_module()
class TrustWeighting(ImageWeighting):
    """Weight images by the correctness of the teacher and its accuracy on the class [lineage].

    After trust-calibrated collaborative learning (TCL, CVPR 2026), from its description. Expert k
    teaches on an image only if its classifier predicts the annotated class. The weight is then (1 -
    A_kc) ** gamma, where A_kc is the running accuracy of expert k on the images of class c. The
    class factors have mean 1 over the batch of all processes before the condition applies [ours].
    No gradient flows through the weights.

    Args:
        num_experts: K.
        num_classes: C.
        reading: Filled in by the head. It says which classifier teaches; its accuracy is measured.
        gamma: Exponent of the class factor; 0 leaves only the condition that the teacher is
            correct.
        class_momentum: Share of the old accuracy that an update keeps, in [0, 1).

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    of = 'teacher'
    class_accuracy: Tensor

    @validate_params(
        num_experts=Whole(at_least=1),
        num_classes=Whole(at_least=1),
        reading=OneOf(*READINGS),
        gamma=Number(at_least=0),
        class_momentum=Number(at_least=0, below=1),
    )
    def __init__(
        self,
        num_experts: int,
        num_classes: int,
        reading: str = 'single',
        gamma: float = 0.5,
        class_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.teacher = READINGS[reading].teacher
        self.gamma = gamma
        self.class_momentum = class_momentum
        self.register_buffer('class_accuracy', torch.zeros(num_experts, num_classes))

    @torch.no_grad()
    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the weights of every teacher.

        Args:
            outputs: Outputs of the K experts.
            targets: Class indices (N,), or probabilities (N, C), whose largest entry is the label.

        Returns:
            Weights (K, N) in float32 of what expert k teaches on an image.
        """
        labels = target_distribution(targets, self.num_classes)
        logits = getattr(outputs, self.teacher)
        right = (logits.argmax(-1) == labels.argmax(-1)).float()
        _follow_class_means(self.class_accuracy, right, labels, self.class_momentum)
        weak = (1 - self.class_accuracy @ labels.T).clamp(min=0).pow(self.gamma)
        return right * scale_to_mean_one(weak)


def scale_to_mean_one(weights: Tensor) -> Tensor:
    """Scale weights (K, N) to mean 1 over the batch of all processes, for each expert."""
    total = torch.cat([weights.sum(1), weights.new_full((1,), weights.size(1))])
    all_reduce(total)
    return weights * (total[-1] / total[:-1].clamp(min=1e-12)).unsqueeze(1)


def _follow_class_means(average: Tensor, values: Tensor, labels: Tensor, momentum: float) -> None:
    """Update moving averages (K, C) with the class means of values (K, N); labels are (N, C)."""
    sums = torch.cat([values, torch.ones_like(values[:1])]) @ labels
    all_reduce(sums)
    counts = sums[-1]
    mean = sums[:-1] / counts.clamp(min=1e-12)
    average.add_((counts > 0) * (mean - average), alpha=1 - momentum)

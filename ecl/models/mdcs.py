"""MDCS: each expert learns on a strong view from its own prediction on a weak view."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from ecl.models.expert_head import ECLHead
from ecl.models.outputs import ExpertOutputs, require_hard_targets, require_progress
from ecl.registry import MODELS
from ecl.settings import Number, validate_params


@MODELS.register_module()
class ConsistencyDistillation(nn.Module):
    """Self-distillation from a weak to a strong view, used as ``model.contrast`` [lineage].

    Zhao et al., ICCV 2023 (arXiv 2308.09922), section 3: consistency self-distillation with
    confident instance sampling. With p_k the softmax of the logits of expert k (plus tau_k * log
    prior where :class:`~ecl.models.losses.BalancedSoftmaxLoss` trains it), the loss of expert k is
    the mean of KL(sg(p_k(weak)) || p_k(strong)) over the images whose weak view the expert
    classifies correctly. The mean is over these images of all processes.

    Labels supervise both views: the head computes the label loss of the strong one, this module
    adds that of the weak view. Set ``loss_weight=0.5`` in the label losses for their mean, as in
    the released code.

    Args:
        encoder: Network from images to K features; the classifier passes it.
        head: Head of the K experts; the classifier passes it.
        loss_weight: Factor of the distillation, at least 0.
        warmup: Share of the training over which that factor grows from 0, in [0, 1].
            :class:`~ecl.engine.TrainingProgressHook` passes the finished share of the training.

    Raises:
        UserError: If an option is out of range.
    """

    trains_on_views = True
    ramp: Tensor

    @validate_params(loss_weight=Number(at_least=0), warmup=Number(at_least=0, at_most=1))
    def __init__(
        self, encoder: nn.Module, head: ECLHead, loss_weight: float = 0.6, warmup: float = 0.05
    ) -> None:
        super().__init__()
        # A tuple does not register them as submodules: the classifier owns them.
        self._network = (encoder, head)
        self.loss_weight = loss_weight
        self.warmup = warmup
        self.has_progress = warmup == 0
        self.register_buffer('ramp', torch.ones(()), persistent=False)

    def set_progress(self, progress: float) -> None:
        """Set the finished share of the training, in [0, 1)."""
        self.ramp.fill_(min(progress / self.warmup, 1.0) if self.warmup else 1.0)
        self.has_progress = True

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Compute the label loss of the weak view plus the distillation.

        Args:
            outputs: Outputs of the K experts for the first view, the strong one.
            targets: Class indices (N,).
            views: The views after the first; the second view (N, 3, H, W) is the weak one.

        Returns:
            A scalar, the mean over the experts.

        Raises:
            UserError: If the targets are mixed, or the progress is needed and not set.
        """
        require_progress(self, 'warmup=0')
        labels = require_hard_targets(self, targets)
        encoder, head = self._network
        weak = head.outputs(encoder(views[0]))
        with torch.autocast(labels.device.type, enabled=False):
            distill = confident_divergence(
                head.adjusted(weak.logits), head.adjusted(outputs.logits), labels
            )
            label_loss = head.label_loss(weak.logits, labels)
        return label_loss + self.loss_weight * self.ramp * distill.mean()


def confident_divergence(weak: Tensor, strong: Tensor, labels: Tensor) -> Tensor:
    """Compute KL(weak || strong) of each expert, averaged over the images it knows.

    Args:
        weak: Logits (K, N, C) of the teachers, detached here.
        strong: Logits (K, N, C) of the students.
        labels: (N,). An expert knows an image if the weak logit of the label is the largest.

    Returns:
        (K,): the mean over the images of all processes, 0 where an expert knows none. Its mean
        over the processes is that of one process with the whole batch.
    """
    teacher = weak.detach().log_softmax(-1)
    knows = (teacher.argmax(-1) == labels).to(strong.dtype)  # (K, N)
    divergence = (teacher.exp() * (teacher - strong.log_softmax(-1))).sum(-1)
    number = knows.sum(-1)
    all_reduce(number)
    return get_world_size() * (knows * divergence).sum(-1) / number.clamp(min=1)

"""LDAM: larger margins for rarer classes, and class weights at the end of training."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from ecl.models.losses.classification import ClassCountLoss
from ecl.models.outputs import require_hard_targets, require_progress
from ecl.registry import MODELS
from ecl.settings import Number, validate_params


class DeferredLoss(ClassCountLoss):
    """Base class of losses that depend on the class counts only at the end of the training.

    Args:
        num_classes: C.
        reweight_from: Share of the training after which they depend on the class counts, in [0, 1];
            1 is never.
    """

    deferred: Tensor

    def __init__(self, num_classes: int, reweight_from: float) -> None:
        super().__init__(num_classes)
        self.reweight_from = reweight_from
        self.has_progress = reweight_from == 1
        # Whether the last part has begun.
        self.register_buffer('deferred', torch.zeros((), dtype=torch.bool), persistent=False)

    def set_progress(self, progress: float) -> None:
        """Set the finished share of the training, in [0, 1)."""
        self.deferred.fill_(progress >= self.reweight_from)
        self.has_progress = True

    def require_progress(self) -> None:
        """Raise an error if the progress of the training is not set.

        Raises:
            UserError: If it was not set.
        """
        require_progress(self, 'reweight_from=1')


@MODELS.register_module()
class LDAMLoss(DeferredLoss):
    """LDAM loss with deferred re-weighting (DRW) [lineage].

    Cao et al., NeurIPS 2019 (arXiv 1906.07413), equations 10 to 13: cross-entropy with a margin m_c
    for the annotated class. m_c is proportional to n_c ** -1/4, and ``max_margin`` for the smallest
    class. The loss expects the logits of a cosine classifier, scale * cos, and subtracts scale *
    m_c from the logit of the annotated class.

    In the last part of the training, the weight of an image is the inverse of the effective number
    of images of its class, (1 - beta) / (1 - beta ** n_c), and the loss is the weighted mean over
    the batch. Several processes give the same mean as one process with the whole batch.
    :class:`~ecl.engine.TrainingProgressHook` passes the finished share of the training.

    Args:
        num_classes: C.
        scale: Scale of the classifier ``CosineLinear``.
        max_margin: Margin of the smallest class, in units of the cosine.
        reweight_from: Share of the training after which the weights apply; 1 is never.
        beta: In [0, 1).
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    #: The head raises an error if the logits of the classifier are not scale * cos.
    needs_cosine = True
    margins: Tensor
    class_weights: Tensor

    @validate_params(
        scale=Number(above=0),
        max_margin=Number(at_least=0),
        reweight_from=Number(at_least=0, at_most=1),
        beta=Number(at_least=0, below=1),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        scale: float = 30.0,
        max_margin: float = 0.5,
        reweight_from: float = 0.8,
        beta: float = 0.9999,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reweight_from)
        self.scale = scale
        self.max_margin = max_margin
        self.beta = beta
        self.loss_weight = loss_weight
        self.register_buffer('margins', torch.zeros(num_classes), persistent=False)
        self.register_buffer('class_weights', torch.ones(num_classes), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set margins and weights from counts (C,)."""
        self.margins.copy_(self.max_margin * (counts / counts.min()) ** -0.25)
        self.class_weights.copy_((1 - self.beta) / (1 - self.beta**counts))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the (weighted) mean over images.

        Args:
            logits: (N, C), scale * cos.
            targets: Class indices (N,).

        Raises:
            UserError: If class counts or progress are not set, or the targets are mixed.
        """
        self.require_class_counts()
        self.require_progress()
        labels = require_hard_targets(self, targets)
        margins = F.one_hot(labels, logits.size(-1)) * self.margins
        shrunk = logits - self.scale * margins
        weights = torch.where(self.deferred, self.class_weights, 1.0)[labels].to(shrunk.dtype)
        total = weights.sum()
        all_reduce(total)
        weighted = weights * F.cross_entropy(shrunk, labels, reduction='none')
        return self.loss_weight * get_world_size() * weighted.sum() / total

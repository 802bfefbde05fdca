"""PaCo: supervised contrastive loss in one softmax with the classifier."""

from typing import Any

import torch
from mmengine.dist import all_gather
from torch import Tensor, nn

from ecl.models.contrast import MomentumQueue, gather_batch
from ecl.models.losses.classification import BalancedSoftmaxLoss
from ecl.models.outputs import ExpertOutputs, require_hard_targets
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


def parametric_contrastive_loss(
    logits: Tensor, similarities: Tensor, labels: Tensor, others: Tensor, alpha: float
) -> Tensor:
    """Compute the loss of PaCo, mean over experts and images.

    Cui et al., ICCV 2021 (arXiv 2107.12028) [lineage]. The C logits and the M similarities of an
    image share one softmax. The target has weight 1 on the class of the image and ``alpha`` on each
    other image of that class, divided by their sum.

    Args:
        logits: (K, N, C), with the log prior added.
        similarities: (K, N, M), of each image with M images, divided by the temperature. The first
            N of the M images are the images themselves.
        labels: Class indices (N,).
        others: Class indices (M,) of the M images; -1 leaves an image out.
        alpha: At least 0.

    Returns:
        A scalar.
    """
    num_images = len(labels)
    columns = torch.arange(len(others), device=labels.device)
    itself = columns[:num_images, None] == columns  # (N, M)
    positive = (labels[:, None] == others) & ~itself
    similarities = similarities.masked_fill(itself | (others < 0), -torch.inf)
    log_sum = torch.cat([logits, similarities], dim=-1).logsumexp(-1)  # (K, N)
    index = labels.expand(len(logits), -1)[..., None]
    own_class = logits.gather(-1, index).squeeze(-1)
    own_images = similarities.masked_fill(~positive, 0).sum(-1)
    total = 1 + alpha * positive.sum(-1)
    return (log_sum - (own_class + alpha * own_images) / total).mean()


@MODELS.register_module()
class ParametricContrast(MomentumQueue):
    """Parametric contrastive learning (PaCo), with the classifier's weights as class centres.

    See :func:`parametric_contrastive_loss`. The queries come from the first view. An image is
    compared with the C centres, by its logits + log prior, the other queries of the
    batch, the keys of the batch, and the keys in the queue. The keys are projections of the second
    view by the momentum encoder. This loss contains the classification loss, so set the weight of
    ``label_loss`` to 0.

    The loss uses the images of all processes. The queue is empty at the start, and empty entries
    are ignored [ours; the released code starts with random keys of random classes].

    Args:
        num_classes: C.
        alpha: Weight of each image of the same class, relative to the class centre.
        temperature: Positive temperature of the similarities; the logits are not divided by it.
        loss_weight: Factor of the loss.
        **kwargs: As for :class:`~ecl.models.contrast.MomentumQueue`.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    queue_labels: Tensor

    @validate_params(
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=1),
        num_classes=Whole(at_least=2),
        alpha=Number(at_least=0),
        temperature=Number(above=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        num_classes: int,
        alpha: float = 0.05,
        temperature: float = 0.2,
        loss_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, in_channels, num_experts, **kwargs)
        self.prior = BalancedSoftmaxLoss(num_classes)
        self.alpha = alpha
        self.temperature = temperature
        self.loss_weight = loss_weight
        empty = torch.full((self.queue.size(-1),), -1)
        self.register_buffer('queue_labels', empty)

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Compute the loss, then store the keys and their labels.

        Args:
            outputs: Outputs of the K experts for the first view.
            targets: Class indices (N,).
            views: The views after the first; the second view (N, 3, H, W) gives the keys.

        Returns:
            A scalar.

        Raises:
            UserError: If the targets are mixed, or the class counts are not set.
        """
        labels = torch.cat(all_gather(require_hard_targets(self, targets)))
        self.update()
        keys = gather_batch(self.keys(views[0]), dim=1)
        queries = gather_batch(self.neck(outputs.feats), dim=1)
        logits = gather_batch(self.prior.adjust(outputs.logits), dim=1)
        with torch.autocast(queries.device.type, enabled=False):
            # The backward pass needs the current queue, but the new keys overwrite it in place.
            images = torch.cat([queries, keys, self.queue.transpose(1, 2)], dim=1)
            similarities = queries @ images.transpose(1, 2) / self.temperature
            others = torch.cat([labels, labels, self.queue_labels])
            loss = parametric_contrastive_loss(logits, similarities, labels, others, self.alpha)
        places = self.enqueue(keys)
        self.queue_labels.index_copy_(0, places, labels)
        return self.loss_weight * loss

"""BCL: supervised contrastive loss in which every class has the same weight."""

import torch
from torch import Tensor, nn

from ecl.models.contrast import ProjectedViews, gather_batch
from ecl.models.outputs import ExpertOutputs, require_hard_targets
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


def balanced_contrastive_loss(
    features: Tensor, prototypes: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """Compute the loss of BCL, mean over experts and features.

    Zhu et al., CVPR 2022 (arXiv 2207.09052) [lineage]. A feature is compared with the other
    features and with a prototype of each class, so every class is in every batch (class
    complement). The denominator uses the mean over the members of each class (class averaging).

    Args:
        features: Unit vectors (K, M, d).
        prototypes: Unit vectors (K, C, d).
        labels: Class indices (M,).
        temperature: Positive.

    Returns:
        A scalar.
    """
    num_classes = prototypes.size(1)
    members = torch.cat([features, prototypes], dim=1)
    similarities = features @ members.transpose(1, 2) / temperature  # (K, M, M + C)
    classes = torch.cat([labels, torch.arange(num_classes, device=labels.device)])
    columns = torch.arange(len(classes), device=labels.device)
    itself = columns[: len(labels), None] == columns
    same = labels[:, None] == classes
    # Members of each class: its features and its prototype. A feature is not compared with itself.
    ones = torch.ones_like(labels)
    sizes = torch.ones_like(classes[len(labels) :]).index_add(0, labels, ones)
    log_sizes = (sizes[classes] - same.long()).to(features.dtype).log()
    log_sum = (similarities - log_sizes).masked_fill(itself, -torch.inf).logsumexp(-1)
    positive = same & ~itself
    attraction = similarities.masked_fill(~positive, 0).sum(-1) / positive.sum(-1)
    return (log_sum - attraction).mean()


@MODELS.register_module()
class BalancedContrast(ProjectedViews):
    """Balanced contrastive learning (BCL): see :func:`balanced_contrastive_loss`.

    The features are projections of the second and third view. The prototypes are the classifier's
    weights, projected by a separate perceptron. The head classifies the first view with balanced
    softmax. The loss uses the images of all processes.

    Args:
        encoder: Network from images to K features.
        classifiers: The K classifiers, with weights (C, D).
        in_channels: D.
        num_experts: K.
        neck: Config of either projection; it receives ``in_channels`` and ``num_experts``.
        temperature: Positive.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    @validate_params(
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=1),
        temperature=Number(above=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        encoder: nn.Module,
        classifiers: nn.ModuleList,
        in_channels: int,
        num_experts: int,
        neck: dict = {'type': 'ContrastiveNeck'},  # noqa: B006  read only
        temperature: float = 0.1,
        loss_weight: float = 0.35,
    ) -> None:
        super().__init__(encoder, in_channels, num_experts, neck)
        # A tuple does not register them as submodules: the head owns the classifiers.
        self._classifiers = (classifiers,)
        self.prototype_neck = MODELS.build(
            neck, default_args=dict(in_channels=in_channels, num_experts=num_experts)
        )
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Compute the loss.

        Args:
            outputs: Not used.
            targets: Class indices (N,).
            views: The views after the first, at least two.

        Returns:
            A scalar.

        Raises:
            UserError: If the targets are mixed, or there are fewer than three views.
        """
        labels = gather_batch(require_hard_targets(self, targets))
        features = gather_batch(self.project(views), dim=2).flatten(1, 2)
        (classifiers,) = self._classifiers
        weights = tuple(classifier.weight for classifier in classifiers)
        prototypes = self.prototype_neck(weights)
        with torch.autocast(features.device.type, enabled=False):
            loss = balanced_contrastive_loss(
                features, prototypes, labels.repeat(len(views)), self.temperature
            )
        return self.loss_weight * loss

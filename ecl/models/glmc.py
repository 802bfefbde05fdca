"""GLMC: consistency between Mixup and CutMix views, and gradual re-weighting."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.losses.classification import ClassCountLoss
from ecl.models.outputs import ExpertOutputs, require_hard_targets, require_progress
from ecl.registry import MODELS
from ecl.settings import Number, Whole, validate_params


def cut_box(share: Tensor, corner: Tensor, height: int, width: int) -> Tensor:
    """Return a mask (H, W) of a box inside the image, with the image's aspect ratio.

    Args:
        share: Share of the image's area in the box, a scalar in [0, 1].
        corner: Position (2,) of its upper left corner, in [0, 1] of the possible range.
        height: H.
        width: W.
    """
    side = share.sqrt()
    inside = []
    for size, start in ((height, corner[0]), (width, corner[1])):
        first = start * (1 - side) * size
        centres = torch.arange(size, device=share.device) + 0.5
        inside.append((centres >= first) & (centres < first + side * size))
    return inside[0][:, None] & inside[1]


@MODELS.register_module()
class MixtureConsistency(ClassCountLoss):
    """Global and local mixture consistency (GLMC).

    Du et al., CVPR 2023 (arXiv 2305.08661) [lineage]. The first view of a batch is mixed by Mixup
    and the second by CutMix, with the same partners and the same share. The loss of a view is

        a * CE(conventional) + (1 - a) * CE(re-weighted) + consistency_weight * consistency,

    with a = 1 - progress ** 2. The loss of a batch is the sum over the views. The conventional
    classifier is used only in training. The re-weighted classifier is that of the head, which
    predicts. In its loss, a target of class c has the weight n_c ** -weight_power, scaled to mean 1
    over the classes. The consistency is one minus the cosine between a prediction from the
    projection of this view and the projection of the other view, which gets no gradient. This loss
    contains the classification loss, so set the weight of ``label_loss`` to 0.

    Partners are drawn from the batch, an image of class c with a probability proportional to
    n_c ** -sampling_power [ours; the released code loads a second batch, drawn so from all data].

    Args:
        encoder: Network from images to K features.
        classifiers: The K classifiers of the head.
        in_channels: Dimension D of a feature.
        num_experts: K.
        num_classes: C.
        hid_channels: Dimension of the projections.
        sampling_power: 0 draws partners uniformly.
        weight_power: 0 gives all classes the same weight.
        consistency_weight: Factor of the consistency.
        loss_weight: Factor of the total loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    trains_on_views = True
    class_weights: Tensor
    sampling_weights: Tensor
    conventional_share: Tensor

    @validate_params(
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=1),
        hid_channels=Whole(at_least=1),
        sampling_power=Number(at_least=0),
        weight_power=Number(at_least=0),
        consistency_weight=Number(at_least=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        encoder: nn.Module,
        classifiers: nn.ModuleList,
        in_channels: int,
        num_experts: int,
        num_classes: int,
        hid_channels: int = 128,
        sampling_power: float = 0.0,
        weight_power: float = 1.2,
        consistency_weight: float = 4.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes)
        # A tuple does not register them as submodules: the classifier owns them.
        self._online = (encoder,)
        self._classifiers = (classifiers,)
        self.sampling_power = sampling_power
        self.weight_power = weight_power
        self.consistency_weight = consistency_weight
        self.loss_weight = loss_weight

        def layers(inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(num_experts))

        self.conventional = layers(in_channels, num_classes)
        self.projections = layers(in_channels, hid_channels)
        self.predictors = layers(hid_channels, hid_channels)
        self.has_progress = False
        self.register_buffer('class_weights', torch.ones(num_classes), persistent=False)
        self.register_buffer('sampling_weights', torch.ones(num_classes), persistent=False)
        self.register_buffer('conventional_share', torch.ones(()), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the weights from counts (C,)."""
        # Relative to the largest class, so that no power overflows.
        relative = counts / counts.max()
        weights = relative**-self.weight_power
        self.class_weights.copy_(weights / weights.mean())
        self.sampling_weights.copy_(relative**-self.sampling_power)

    def set_progress(self, progress: float) -> None:
        """Set the finished share of the training, in [0, 1)."""
        self.conventional_share.fill_(1 - progress**2)
        self.has_progress = True

    @torch.no_grad()
    def mix_views(self, views: list[Tensor], targets: Tensor) -> tuple[list[Tensor], Tensor]:
        """Mix the first view by Mixup and the second by CutMix.

        Args:
            views: At least two views (N, 3, H, W).
            targets: Class indices (N,).

        Returns:
            The two mixed views, and the common targets (N, C).

        Raises:
            UserError: If the targets are mixed already, or the class counts are not set.
        """
        self.require_class_counts()
        labels = require_hard_targets(self, targets)
        number = len(labels)
        partner = torch.multinomial(self.sampling_weights[labels], number, replacement=True)
        draws = torch.rand(3, device=labels.device)
        return self.mix(views, labels, partner, draws[0], draws[1:])

    def mix(
        self, views: list[Tensor], labels: Tensor, partner: Tensor, share: Tensor, corner: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Mix image i with image ``partner[i]``.

        Args:
            views: As for :meth:`mix_views`.
            labels: Class indices (N,).
            partner: Indices into the batch (N,).
            share: Share of image i, a scalar in [0, 1].
            corner: As for :func:`cut_box`.
        """
        mixed = share * views[0] + (1 - share) * views[0][partner]
        box = cut_box(1 - share, corner, *views[1].shape[-2:])
        cut = torch.where(box, views[1][partner], views[1])
        one_hot = F.one_hot(labels, self.num_classes).to(mixed.dtype)
        return [mixed, cut], share * one_hot + (1 - share) * one_hot[partner]

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Compute the loss, mean over experts and images.

        Args:
            outputs: Outputs of the K experts for the view after Mixup.
            targets: The common targets (N, C).
            views: The view after CutMix.

        Returns:
            A scalar.

        Raises:
            UserError: If the progress of the training is not set.
        """
        require_progress(self)
        (encoder,), (classifiers,) = self._online, self._classifiers
        cut = encoder(views[0])
        with torch.autocast(targets.device.type, enabled=False):
            terms = [
                self._expert_loss(k, targets, (outputs.feats[k], cut[k].float()), classifiers[k])
                for k in range(len(cut))
            ]
            return self.loss_weight * torch.stack(terms).mean()

    def _expert_loss(
        self, k: int, targets: Tensor, feats: tuple[Tensor, Tensor], classifier: nn.Module
    ) -> Tensor:
        conventional = reweighted = consistency = torch.zeros_like(self.conventional_share)
        projected = [self.projections[k](feat) for feat in feats]
        for feat, own, other in zip(feats, projected, reversed(projected), strict=True):
            conventional = conventional + F.cross_entropy(self.conventional[k](feat), targets)
            # With probabilities as targets, the mean is over images, not over weights.
            reweighted = reweighted + F.cross_entropy(classifier(feat), targets, self.class_weights)
            cosine = F.cosine_similarity(self.predictors[k](own), other.detach(), dim=-1)
            consistency = consistency + (1 - cosine).mean()
        share = self.conventional_share
        labels = share * conventional + (1 - share) * reweighted
        return labels + self.consistency_weight * consistency

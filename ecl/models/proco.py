"""ProCo: contrastive loss for infinitely many samples from the distribution of each class."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.models.contrast import ProjectedViews, gather_batch
from ecl.models.losses.classification import BalancedSoftmaxLoss
from ecl.models.outputs import ExpertOutputs, require_hard_targets
from ecl.registry import MODELS
from ecl.settings import Number, SettingError, Whole, validate_params

#: Largest concentration, for a class whose features are all equal.
MAX_CONCENTRATION = 1e5
#: Smallest dimension for which the expansion of the Bessel function is exact to 1e-4.
MIN_DIMENSION = 16


def concentration(length: Tensor, dimension: int) -> Tensor:
    """Estimate the concentration of a von Mises-Fisher distribution.

    Du et al., 2024 (arXiv 2403.06726) [lineage]: R (d - R ** 2) / (1 - R ** 2).

    Args:
        length: Length R of the mean of unit vectors, in [0, 1].
        dimension: d of the vectors.

    Returns:
        A number in [0, ``MAX_CONCENTRATION``] for each.
    """
    square = length.square()
    spread = (1 - square).clamp(min=torch.finfo(length.dtype).tiny)
    return (length * (dimension - square) / spread).clamp(max=MAX_CONCENTRATION)


def expected_logits(cosines: Tensor, kappa: Tensor, temperature: float, dimension: int) -> Tensor:
    """Compute the log of the expected exp(similarity / temperature) for samples of each class.

    Du et al., 2024 (arXiv 2403.06726) [lineage]: log C(kappa) - log C(kappa'), with
    kappa' = |kappa * mean + z / temperature| and the normaliser C of the von Mises-Fisher
    distribution. C contains the Bessel function of order v = d / 2 - 1, which is computed by its
    expansion for large orders (DLMF 10.41.3, three terms). The expansion is smooth down to
    concentration 0. The differences are computed without cancellation [ours; the released code runs
    a recurrence in float64, and forms the sums of d-vectors for each feature and class].

    Args:
        cosines: Of features and mean directions, (..., N, C).
        kappa: Concentrations (..., 1, C).
        temperature: Positive.
        dimension: d, at least ``MIN_DIMENSION``.

    Returns:
        Logits (..., N, C).
    """
    order = dimension / 2 - 1
    root = (order**2 + kappa.square()).sqrt()
    # |kappa * mean + z / t| ** 2 - kappa ** 2
    gain = 2 * kappa * cosines / temperature + 1 / temperature**2
    new_root = (root.square() + gain).clamp(min=order**2).sqrt()
    step = gain / (new_root + root)
    leading = step - order * torch.log1p(step / (order + root)) - torch.log1p(step / root) / 2
    return leading + _log_series(new_root, order) - _log_series(root, order)


def _log_series(root: Tensor, order: float) -> Tensor:
    """Log of the sum in DLMF 10.41.3, with the polynomials of 10.41.10 up to the third."""
    t = order / root
    square = t.square()
    first = t * (3 - 5 * square) / 24
    second = square * (81 + square * (-462 + 385 * square)) / 1152
    third = t * square * (30375 + square * (-369603 + square * (765765 - 425425 * square)))
    return torch.log1p(first / order + second / order**2 + third / 414720 / order**3)


@MODELS.register_module()
class ProbabilisticContrast(ProjectedViews):
    """Probabilistic contrastive learning (ProCo): see :func:`expected_logits`.

    The projections of a class follow a von Mises-Fisher distribution. Its mean is estimated from
    all features of the class in the last complete pass over its images and in the current pass. A
    pass is counted for each class, so this class does not need the epoch [ours]. In the first pass,
    one feature with a random direction replaces the previous pass [ours].

    The loss is the balanced softmax loss of the expected logits, mean over the views
    after the first. The head classifies the first view with balanced softmax.

    Args:
        encoder: Network from images to K features.
        in_channels: D.
        num_experts: K.
        num_classes: C.
        neck: Config of the projection; it receives ``in_channels`` and ``num_experts``. Its
            ``out_channels`` is at least 16.
        temperature: Positive.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    sums: Tensor
    counts: Tensor
    class_counts: Tensor

    @validate_params(
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=1),
        num_classes=Whole(at_least=2),
        temperature=Number(above=0),
        loss_weight=Number(at_least=0),
    )
    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        num_classes: int,
        neck: dict = {'type': 'ContrastiveNeck'},  # noqa: B006  read only
        temperature: float = 0.1,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(encoder, in_channels, num_experts, neck)
        self.dimension = self.neck.out_channels
        if self.dimension < MIN_DIMENSION:
            needed = f'at least {MIN_DIMENSION} for {type(self).__name__}'
            raise SettingError('neck', 'out_channels', self.dimension, needed)
        self.prior = BalancedSoftmaxLoss(num_classes)
        self.temperature = temperature
        self.loss_weight = loss_weight
        # Sums and numbers of the features in the previous pass and in the current one.
        start = F.normalize(torch.randn(num_experts, num_classes, self.dimension), dim=-1)
        self.register_buffer('sums', torch.stack([0.9 * start, torch.zeros_like(start)]))
        self.register_buffer('counts', torch.zeros(2, num_classes))
        self.counts[0] = 1
        self.register_buffer('class_counts', torch.zeros(num_classes), persistent=False)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the number of training images of each class, length C.

        Raises:
            UserError: As :class:`~ecl.models.BalancedSoftmaxLoss`.
        """
        self.prior.set_class_counts(counts)
        self.class_counts.copy_(torch.as_tensor(counts))

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add features (K, V, N, d) of images with labels (N,), of all processes."""
        complete = self.counts[1] >= features.size(1) * self.class_counts
        for state, done in ((self.counts, complete), (self.sums, complete[:, None])):
            state[0].copy_(torch.where(done, state[1], state[0]))
            state[1].masked_fill_(done, 0)
        members = F.one_hot(labels, self.counts.size(1)).to(features.dtype)
        self.sums[1] += torch.einsum('nc,knd->kcd', members, features.sum(1))
        self.counts[1] += features.size(1) * members.sum(0)

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the mean directions (K, C, d) and the concentrations (K, C) of the classes."""
        mean = self.sums.sum(0) / self.counts.sum(0)[:, None]
        return F.normalize(mean, dim=-1), concentration(mean.norm(dim=-1), self.dimension)

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Update the distributions of the classes, then compute the loss.

        Args:
            outputs: Not used.
            targets: Class indices (N,).
            views: The views after the first, at least two.

        Returns:
            A scalar.

        Raises:
            UserError: If the targets are mixed, there are fewer than three views, or the class
                counts are not set.
        """
        labels = require_hard_targets(self, targets)
        self.prior.require_class_counts()
        features = self.project(views)
        with torch.autocast(features.device.type, enabled=False):
            self.update(gather_batch(features.detach(), dim=2), gather_batch(labels))
            means, kappa = self.estimate()
            cosines = features.flatten(1, 2) @ means.transpose(1, 2)  # (K, V * N, C)
            logits = expected_logits(cosines, kappa[:, None], self.temperature, self.dimension)
            repeated = labels.repeat(len(logits) * len(views))
            loss = self.prior(logits.flatten(0, 1), repeated)
        return self.loss_weight * loss

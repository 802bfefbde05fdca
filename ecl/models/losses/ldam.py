"""Margins that grow as a class has fewer images, and weights deferred to the end."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import check_numbers

from .precision import in_float32


@MODELS.register_module()
class LDAMLoss(nn.Module):
    """LDAM with deferred re-weighting (Cao et al., 2019) [lineage].

    Cross-entropy after the annotated class gave up a margin m_c, which is proportional to
    n_c ** -1/4 and ``max_margin`` for the smallest class. It expects the logits of a cosine
    classifier, scale * cos, of which the margin is taken as scale * m_c.

    In the last part of the training every image counts by its class, with the inverse of the
    effective number of images (1 - beta ** n_c) / (1 - beta), and the mean over a batch is
    weighted so. How much of the training is done, :class:`~ecl.engine.TrainingProgressHook` says.

    Args:
        scale: That of the classifier, ``CosineLinear``.
        max_margin: Margin of the smallest class, in units of the cosine.
        reweight_from: Share of the training after which the weights apply; 1 is never.
        beta: In [0, 1).
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range, naming it.
    """

    margins: Tensor | None
    class_weights: Tensor | None

    def __init__(
        self,
        scale: float = 30.0,
        max_margin: float = 0.5,
        reweight_from: float = 0.8,
        beta: float = 0.9999,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_numbers(self, above=0, scale=scale)
        check_numbers(self, at_least=0, max_margin=max_margin, loss_weight=loss_weight)
        check_numbers(self, at_least=0, at_most=1, reweight_from=reweight_from)
        check_numbers(self, at_least=0, below=1, beta=beta)
        self.scale = scale
        self.max_margin = max_margin
        self.reweight_from = reweight_from
        self.beta = beta
        self.loss_weight = loss_weight
        self.progress = 0.0 if reweight_from == 1 else None
        # Not in the checkpoint: training always sets them from its data.
        self.register_buffer('margins', None, persistent=False)
        self.register_buffer('class_weights', None, persistent=False)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set margins and weights from the training images of each class, length C.

        Raises:
            UserError: If a class has no training image.
        """
        numbers = torch.as_tensor(counts, dtype=torch.float64)
        if (numbers <= 0).any():
            raise UserError(f'LDAMLoss: no training image of class {int(numbers.argmin())}')
        device = self.margins.device if self.margins is not None else None
        margins = self.max_margin * (numbers / numbers.min()) ** -0.25
        self.margins = margins.float().to(device)
        weights = (1 - self.beta) / (1 - self.beta**numbers)
        self.class_weights = weights.float().to(device)

    def set_progress(self, progress: float) -> None:
        """Say which share of the training is done, in [0, 1)."""
        self.progress = progress

    @in_float32
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over experts and (weighted) over images.

        Args:
            logits: (K, N, C), scale * cos.
            labels: (N,) class indices.

        Raises:
            UserError: If the class counts or the progress of the training are not set.
        """
        if self.margins is None or self.class_weights is None or self.progress is None:
            raise UserError(
                'LDAMLoss needs the class counts and the progress of the training: add '
                'ClassCountsHook and TrainingProgressHook to custom_hooks'
            )
        margins = F.one_hot(labels, logits.size(-1)) * self.margins.to(logits.device)
        deferred = self.progress < self.reweight_from
        weights = None if deferred else self.class_weights.to(logits.device)
        shrunk = (logits - self.scale * margins).flatten(0, 1)
        return self.loss_weight * F.cross_entropy(shrunk, labels.repeat(len(logits)), weights)

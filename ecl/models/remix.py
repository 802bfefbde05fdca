"""Remix: Mixup with labels in favour of the rarer class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecl.errors import UserError
from ecl.registry import BATCH_AUGMENTS
from ecl.settings import Number, validate_params


@BATCH_AUGMENTS.register_module()
class Remix:
    """Mixup of images; the mixed label is the rarer class if the class counts differ strongly.

    Chou et al., ECCV workshops 2020 (arXiv 2007.03943), equation 9 [lineage]. Image i is mixed with
    image j by lambda * x_i + (1 - lambda) * x_j. The share of label i is 0 if n_i / n_j >= kappa
    and lambda < tau, 1 if n_i / n_j <= 1 / kappa and 1 - lambda < tau, and lambda otherwise.
    :class:`~ecl.models.MultiViewDataPreprocessor` passes the class counts on.

    Args:
        alpha: Positive parameter of the Beta distribution of lambda.
        kappa: Ratio of class counts from which labels are not mixed, at least 1.
        tau: In [0, 1]; 0 is plain Mixup.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    @validate_params(
        alpha=Number(above=0), kappa=Number(at_least=1), tau=Number(at_least=0, at_most=1)
    )
    def __init__(self, alpha: float = 1.0, kappa: float = 3.0, tau: float = 0.5) -> None:
        self.alpha = alpha
        self.kappa = kappa
        self.tau = tau
        self.class_counts: Tensor | None = None

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the number of training images of each class, length C."""
        self.class_counts = torch.as_tensor(counts, dtype=torch.float32)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: (N, 3, H, W).
            labels: One-hot labels (N, C).

        Returns:
            Mixed images and labels of the same shapes.

        Raises:
            UserError: If the class counts are not set.
        """
        if self.class_counts is None:
            raise UserError('Remix needs the class counts: got none. Train with ClassCountsHook.')
        lam = float(np.random.beta(self.alpha, self.alpha))
        order = torch.randperm(len(images), device=images.device)
        return self.mix(images, labels.float(), lam, order)

    def mix(
        self, images: Tensor, labels: Tensor, lam: float, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mix image i with image ``order[i]``; ``lam`` in [0, 1] is the share of image i."""
        assert self.class_counts is not None
        # A matrix product would round the counts under mixed precision.
        self.class_counts = self.class_counts.to(labels)
        counts = (labels * self.class_counts).sum(1)
        ratio = counts / counts[order]
        share = torch.full_like(ratio, lam)
        if lam < self.tau:
            share = torch.where(ratio >= self.kappa, 0.0, share)
        if 1 - lam < self.tau:
            share = torch.where(ratio <= 1 / self.kappa, 1.0, share)
        mixed = lam * images + (1 - lam) * images[order]
        share = share[:, None]
        return mixed, share * labels + (1 - share) * labels[order]

"""Label losses: balanced softmax, class-balanced, focal and two-stage loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.outputs import require_hard_targets, target_distribution
from ecl.registry import MODELS, build_part
from ecl.settings import Number, Whole, validate_params


class ClassCountLoss(nn.Module):
    """Base class of losses that depend on the number of training images of each class.

    A subclass registers buffers of length C in its constructor and fills them in
    :meth:`use_class_counts`. They are not saved: training sets them from its data, and prediction
    does not need them.

    Args:
        num_classes: C.
    """

    @validate_params(num_classes=Whole(at_least=2))
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.has_class_counts = False

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the number of training images of each class, length C.

        Raises:
            UserError: If there are not C counts, or a class has no training image.
        """
        numbers = torch.as_tensor(counts, dtype=torch.float64)
        name = type(self).__name__
        if len(numbers) != self.num_classes:
            raise UserError(
                f'{name}: got {len(numbers)} class counts, expected {self.num_classes}. '
                'Check model.head.num_classes.'
            )
        if (numbers <= 0).any():
            empty = (numbers <= 0).nonzero().flatten().tolist()
            raise UserError(f'{name}: no training image of class {empty[:5]}')
        self.use_class_counts(numbers)
        self.has_class_counts = True

    def use_class_counts(self, counts: Tensor) -> None:
        """Fill the buffers in place from counts (C,) in float64, all positive."""
        raise NotImplementedError

    def require_class_counts(self) -> None:
        """Raise an error if the class counts are not set.

        Raises:
            UserError: If they were not set.
        """
        if not self.has_class_counts:
            raise UserError(
                f'{type(self).__name__} needs the class counts: got none. '
                'Train with ClassCountsHook, or call set_class_counts.'
            )


@MODELS.register_module()
class BalancedSoftmaxLoss(ClassCountLoss):
    """Balanced softmax loss: cross-entropy of logits + tau * log prior [lineage].

    Ren et al., NeurIPS 2020 (arXiv 2007.10740), equation 3; with a factor tau, Menon et al., ICLR
    2021 (arXiv 2007.07314), equation 10. After training with this loss, the plain logits suit
    balanced test data.

    Args:
        num_classes: C.
        tau: 0 is plain cross-entropy, 1 the balanced softmax. Above 1 favours rare classes, below
            0 frequent ones (experts of SADE and BalPoE).
        loss_weight: Factor of the loss, at least 0.

    Raises:
        UserError: If a number is out of range.

    Example:
        >>> loss = BalancedSoftmaxLoss(num_classes=2)
        >>> loss.set_class_counts([3, 1])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))
        tensor(1.3863)
    """

    log_prior: Tensor

    @validate_params(tau=Number(), loss_weight=Number(at_least=0))
    def __init__(self, num_classes: int, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(num_classes)
        self.tau = tau
        self.loss_weight = loss_weight
        self.register_buffer('log_prior', torch.zeros(num_classes), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the log prior from counts (C,)."""
        self.log_prior.copy_((counts / counts.sum()).log())

    def adjust(self, logits: Tensor) -> Tensor:
        """Add tau * log prior to logits (..., C).

        Raises:
            UserError: If the class counts are not set.
        """
        self.require_class_counts()
        return logits + self.tau * self.log_prior

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean over images.

        Args:
            logits: (N, C).
            targets: Class indices (N,), or probabilities (N, C).
        """
        # Plain cross-entropy needs no class counts.
        adjusted = self.adjust(logits) if self.tau else logits
        return self.loss_weight * F.cross_entropy(adjusted, targets)


@MODELS.register_module()
class ClassBalancedLoss(ClassCountLoss):
    """Cross-entropy weighted by the effective number of images of a class [lineage].

    Cui et al., CVPR 2019 (arXiv 1901.05555), equation 6: an image of class c has the weight (1 -
    beta) / (1 - beta ** n_c), scaled so that the weights of the C classes have mean 1.

    Args:
        num_classes: C.
        beta: In [0, 1). 0 gives all classes the same weight; near 1 the weight of a class is about
            1 / n_c.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    class_weights: Tensor

    @validate_params(beta=Number(at_least=0, below=1), loss_weight=Number(at_least=0))
    def __init__(self, num_classes: int, beta: float = 0.9999, loss_weight: float = 1.0) -> None:
        super().__init__(num_classes)
        self.beta = beta
        self.loss_weight = loss_weight
        self.register_buffer('class_weights', torch.ones(num_classes), persistent=False)

    def use_class_counts(self, counts: Tensor) -> None:
        """Set the weights from counts (C,)."""
        weights = (1 - self.beta) / (1 - self.beta**counts)
        self.class_weights.copy_(weights / weights.mean())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the sum of weighted cross-entropies over N.

        Args:
            logits: (N, C).
            targets: Class indices (N,), or probabilities (N, C).
        """
        self.require_class_counts()
        # With probabilities as targets, the mean is over images, not over weights.
        labels = target_distribution(targets, self.num_classes)
        return self.loss_weight * F.cross_entropy(logits, labels, self.class_weights)


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Focal loss of a softmax classifier: mean of (1 - p_y) ** gamma * -log p_y [lineage].

    Lin et al., ICCV 2017 (arXiv 1708.02002), equation 4, for one label per image. MMPretrain's
    ``FocalLoss`` uses a sigmoid for each class instead.

    Args:
        gamma: At least 0; 0 is plain cross-entropy.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is negative.
    """

    @validate_params(gamma=Number(at_least=0), loss_weight=Number(at_least=0))
    def __init__(self, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean over images.

        Args:
            logits: (N, C).
            targets: Class indices (N,).

        Raises:
            UserError: If the targets are mixed.
        """
        labels = require_hard_targets(self, targets)
        losses = F.cross_entropy(logits, labels, reduction='none')
        # 1 - p_y without cancellation, and a finite gradient at p_y = 1 for gamma below 1.
        wrong = (-torch.expm1(-losses)).clamp(min=torch.finfo(losses.dtype).tiny)
        return self.loss_weight * (wrong**self.gamma * losses).mean()


@MODELS.register_module()
class TwoStageLoss(nn.Module):
    """One label loss in the first stage of a training, another in the second.

    Args:
        num_classes: C; the head fills it in.
        first, second: Configs of the label losses.
        num_experts, in_channels, reading: Filled in by the head, for losses that ask for them.

    Example:
        >>> label_loss = dict(
        ...     type='TwoStageLoss',
        ...     first=dict(type='CrossEntropyLoss'),
        ...     second=dict(type='BalancedSoftmaxLoss'))
    """

    @validate_params(num_classes=Whole(at_least=2))
    def __init__(
        self,
        num_classes: int,
        first: dict,
        second: dict,
        num_experts: int = 1,
        in_channels: int | None = None,
        reading: str = 'single',
    ) -> None:
        super().__init__()
        known = dict(
            num_classes=num_classes,
            num_experts=num_experts,
            in_channels=in_channels,
            reading=reading,
        )
        self.losses = nn.ModuleList(build_part(cfg, **known) for cfg in (first, second))
        self.stage = 1

    def set_stage(self, stage: int) -> None:
        """Set the stage, 1 or 2."""
        self.stage = stage

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of the current stage.

        Args:
            logits: (N, C).
            targets: Class indices (N,), or probabilities (N, C).
        """
        return self.losses[self.stage - 1](logits, targets)

"""Outputs of K experts and targets, as the losses and aggregators receive them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ecl.errors import UserError


@dataclass(frozen=True)
class ExpertOutputs:
    """Outputs of K experts for a batch of N images, as every loss and aggregator receives them.

    Attributes:
        feats: K features (N, D), one of each expert.
        logits: (K, N, C), of the label classifiers.
        aux_logits: (K, N, C), of the distill classifiers; None where an expert has one classifier.
    """

    feats: tuple[Tensor, ...]
    logits: Tensor
    aux_logits: Tensor | None = None


class Reading(NamedTuple):
    """One interpretation of the two classifiers in the paper's abstract.

    Attributes:
        labels_teach_aux: Labels supervise the distill classifiers too.
        teacher: Field of :class:`ExpertOutputs` whose predictions are distilled.
        students: Fields that learn from the teachers of the peers.
    """

    labels_teach_aux: bool
    teacher: str
    students: tuple[str, ...]

    @property
    def has_aux(self) -> bool:
        """Whether an expert has a distill classifier."""
        return 'aux_logits' in (self.teacher, *self.students)


#: The readings of ECL by name [abstract for the two classifiers, their roles are ours].
READINGS: dict[str, Reading] = {
    # One classifier per expert, supervised by labels and peers: NCL, mutual distillation.
    'single': Reading(False, 'logits', ('logits',)),
    # Labels supervise both classifiers. The second classifier also learns from its peers, and
    # teaches.
    'shared_labels': Reading(True, 'aux_logits', ('aux_logits',)),
    # Labels supervise the first classifier. The second one learns only from peers.
    'peers_only': Reading(False, 'logits', ('aux_logits',)),
    # As 'peers_only', and the first classifier learns from the peers too.
    'peers_and_labels': Reading(False, 'logits', ('logits', 'aux_logits')),
}


def require_scalar(loss: Any, key: str, part: object) -> Tensor:
    """Return a loss if it is a scalar tensor, else raise an error.

    Args:
        loss: The value that a component returned.
        key: Dotted key of the component in the configuration.
        part: The component.

    Raises:
        UserError: If the loss is not a scalar tensor. The message names the component.
    """
    if isinstance(loss, Tensor) and loss.ndim == 0:
        return loss
    shaped = f'a tensor of shape {tuple(loss.shape)}' if isinstance(loss, Tensor) else None
    got = shaped or ('None' if loss is None else f'a {type(loss).__name__}')
    raise UserError(
        f'{key} ({type(part).__name__}) returned {got}, expected a scalar tensor, such as the mean '
        'over the images'
    )


def require_gradient(loss: Tensor, logits: Tensor, key: str, part: object) -> None:
    """Raise an error if a loss has no gradient with respect to the logits.

    A loss that is always 0 is allowed.

    Args:
        loss: Scalar that a component returned.
        logits: Logits that the component received.
        key: Dotted key of the component in the configuration.
        part: The component.

    Raises:
        UserError: If the logits have a gradient and the loss has none. The message names the
            component.
    """
    if loss.requires_grad or not logits.requires_grad:
        return
    capturing = loss.is_cuda and torch.cuda.is_current_stream_capturing()
    if not capturing and loss != 0:
        raise UserError(
            f'{key} ({type(part).__name__}) has no gradient: nothing would learn from it. Compute '
            'it from the logits, without detach(), item() or no_grad().'
        )


def target_distribution(targets: Tensor, num_classes: int) -> Tensor:
    """Return targets as probabilities (N, C) in float32.

    Args:
        targets: Class indices (N,), or probabilities (N, C).
        num_classes: C.
    """
    return targets.float() if targets.ndim == 2 else F.one_hot(targets, num_classes).float()


def require_hard_targets(owner: object, targets: Tensor) -> Tensor:
    """Return class indices (N,); raise an error for mixed targets.

    Args:
        owner: The loss that needs them.
        targets: The targets that it received.

    Raises:
        UserError: If the targets are probabilities (N, C), as after Mixup and CutMix.
    """
    if targets.ndim == 2:
        raise UserError(
            f'{type(owner).__name__} needs hard labels: got mixed labels from '
            'model.train_cfg.augments. Remove them, or use another loss.'
        )
    return targets


def require_progress(owner: object, otherwise: str = '') -> None:
    """Raise an error if the progress of the training is not set.

    Args:
        owner: The module that needs it. Its ``has_progress`` is True if the progress was set or is
            not needed.
        otherwise: Setting that needs no progress, such as 'warmup=0'.

    Raises:
        UserError: If the progress is needed and not set.
    """
    if not getattr(owner, 'has_progress', False):
        raise UserError(
            f'{type(owner).__name__} needs the progress of the training: got none. Add '
            f'TrainingProgressHook to default_hooks{f", or set {otherwise}" if otherwise else ""}.'
        )

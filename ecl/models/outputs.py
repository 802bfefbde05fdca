"""The contract between the network, the head and the losses: what K experts output, and targets."""

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
    """One way to read what the paper's abstract says of the two classifiers.

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
    # One classifier an expert, supervised by labels and peers: NCL, mutual distillation.
    'single': Reading(False, 'logits', ('logits',)),
    # Labels supervise both classifiers, peers the second one only, which also teaches.
    'shared_labels': Reading(True, 'aux_logits', ('aux_logits',)),
    # Labels supervise the first classifier, peers alone the second one.
    'peers_only': Reading(False, 'logits', ('aux_logits',)),
    # As 'peers_only', and the first classifier learns from the peers too.
    'peers_and_labels': Reading(False, 'logits', ('logits', 'aux_logits')),
}


def require_scalar(loss: Any, key: str, part: object) -> Tensor:
    """Return a loss that is a scalar tensor, or refuse it.

    Args:
        loss: What a part returned.
        key: Dotted key of the part in the configuration.
        part: The part.

    Raises:
        UserError: If the loss is no tensor or has dimensions, naming the part.
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
    """Refuse a loss that does not depend on the logits by its gradient.

    A loss that is constantly 0 is allowed.

    Args:
        loss: Scalar that a part returned.
        logits: What the part got.
        key: Dotted key of the part in the configuration.
        part: The part.

    Raises:
        UserError: If the logits have a gradient and the loss has none, naming the part.
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
    """Return class indices (N,), or refuse mixed targets.

    Args:
        owner: The loss that asks.
        targets: What it received.

    Raises:
        UserError: If the targets are probabilities (N, C), as Mixup and CutMix make them.
    """
    if targets.ndim == 2:
        raise UserError(
            f'{type(owner).__name__} needs hard labels: got mixed labels from '
            'model.train_cfg.augments. Remove them, or use another loss.'
        )
    return targets


def require_progress(owner: object, otherwise: str = '') -> None:
    """Refuse to go on without the progress of the training.

    Args:
        owner: The module that asks. Its ``has_progress`` says whether the progress was set, or is
            not needed.
        otherwise: Setting that needs no progress, such as 'warmup=0'.

    Raises:
        UserError: If it was not set.
    """
    if not getattr(owner, 'has_progress', False):
        raise UserError(
            f'{type(owner).__name__} needs the progress of the training: got none. Add '
            f'TrainingProgressHook to default_hooks{f", or set {otherwise}" if otherwise else ""}.'
        )

"""Adjust a trained classifier to balanced test data, without training.

Both methods change the parameters of the classifiers in place. The adjusted model can be used like
any other model.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models import BaseClassifier
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.expert_head import ECLHead
from ecl.models.linear import CosineLinear, ScaledLinear

#: Strengths to try [lineage: those of the released code of tau-normalisation], in ascending order.
#: If two are equally good, the smaller one is chosen.
TAUS = tuple(round(0.1 * step, 1) for step in range(21))


@dataclass(frozen=True)
class TauChoice:
    """Strength of an adjustment, and how it was chosen.

    Attributes:
        tau: The chosen strength.
        images: Number of images it was chosen on.
        losses: Balanced cross-entropy on these images, by strength.
    """

    tau: float
    images: int
    losses: dict[float, float]


def normalize_weights(head: nn.Module, tau: float, class_counts: Sequence[int] | None) -> None:
    """Divide the weights of each class by their norm to the power tau: tau-normalisation.

    Kang et al., ICLR 2020 (arXiv 1910.09217), equation 4 [lineage]. Norms are taken relative to
    their geometric mean, so that the scale of the logits and the confidence do not change [ours].
    The bias is kept, so tau = 0 is the original model; the paper has no bias.

    Args:
        head: Head whose classifiers are changed in place.
        tau: 0 changes nothing, 1 gives all classes the same norm.
        class_counts: Not used.

    Raises:
        UserError: If a classifier normalises its weights itself, or has other scales, or the head
            has no linear classifier.
    """
    for classifier in linear_classifiers(head):
        if isinstance(classifier, CosineLinear | ScaledLinear):
            raise UserError(
                f'tau-norm cannot adjust this model: got {type(classifier).__name__}, whose logits '
                'do not have the norms of its weights as scales. Use logit-adjustment.'
            )
        norms = classifier.weight.data.norm(dim=1, keepdim=True)
        logs = norms.clamp(min=torch.finfo(norms.dtype).tiny).log()
        classifier.weight.data *= (tau * (logs.mean() - logs)).exp()


def subtract_prior(head: nn.Module, tau: float, class_counts: Sequence[int] | None) -> None:
    """Subtract tau * log prior from the logits: post-hoc logit adjustment.

    Menon et al., ICLR 2021 (arXiv 2007.07314), equation 9 [lineage]. This corrects a model that was
    trained with plain cross-entropy. Balanced softmax does the same during training.

    Args:
        head: Head whose classifiers are changed in place. A classifier without bias gets one.
        tau: 0 changes nothing, 1 is the published adjustment.
        class_counts: Training images of each class, length C.

    Raises:
        UserError: If there are no counts, or a class has no training image.
    """
    if class_counts is None or min(class_counts) < 1:
        raise UserError(
            f'logit-adjustment needs the training images of each class: got {class_counts}, '
            'expected positive counts in the checkpoint. Train with ClassCountsHook.'
        )
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    shift = -tau * (counts / counts.sum()).log()
    for classifier in linear_classifiers(head):
        own = shift.to(classifier.weight)
        if classifier.bias is None:
            classifier.bias = nn.Parameter(own)
        else:
            classifier.bias.data += own


ADJUSTMENTS: dict[str, Callable[[nn.Module, float, Sequence[int] | None], None]] = {
    'tau-norm': normalize_weights,
    'logit-adjustment': subtract_prior,
}
"""Adjustments by name: each changes a head in place, given tau and the class counts (C,) or None.

A module of ``custom_imports`` may add its own.
"""


def adjust(
    model: BaseClassifier, method: str, tau: float, class_counts: Sequence[int] | None
) -> None:
    """Adjust all classifiers of a model in place.

    Args:
        model: Classifier of this package or of MMPretrain.
        method: Key of :data:`ADJUSTMENTS`.
        tau: Strength; 0 changes nothing.
        class_counts: Training images of each class, length C, or None.

    Raises:
        UserError: If the method is not known or cannot adjust this model.
    """
    if method not in ADJUSTMENTS:
        raise UserError(f'adjustment: got {method!r}, expected {" or ".join(ADJUSTMENTS)}')
    ADJUSTMENTS[method](model.head, tau, class_counts)


@torch.inference_mode()
def choose_tau(
    model: BaseClassifier,
    batches: Iterable[dict],
    method: str,
    class_counts: Sequence[int] | None,
    augment: bool,
) -> TauChoice:
    """Choose the strength of an adjustment with the lowest cross-entropy on given images.

    Every class has the same weight. The cross-entropy differs between strengths even on training
    images that a network classifies without errors.

    Args:
        model: Model before the adjustment; it is not changed.
        batches: Labelled images; the network sees them once.
        method: Key of :data:`ADJUSTMENTS`.
        class_counts: Training images of each class, length C, or None.
        augment: Apply the views of the data preprocessor, as in training.

    Returns:
        The choice.
    """
    model.eval()
    feats, labels = [], []
    for batch in batches:
        data = first_view(model, batch, augment)
        feats.append(model.extract_feat(data['inputs']))
        labels.append(torch.cat([sample.gt_label for sample in data['data_samples']]))
    targets = torch.cat(labels)
    losses = {}
    for tau in TAUS:
        head = copy.deepcopy(model.head)
        ADJUSTMENTS[method](head, tau, class_counts)
        losses[tau] = _balanced_cross_entropy(torch.cat([head(each) for each in feats]), targets)
    return TauChoice(min(losses, key=lambda tau: losses[tau]), len(targets), losses)


def first_view(model: BaseClassifier, batch: dict, augment: bool) -> dict:
    """Return the first view of a batch, without Mixup and CutMix.

    Args:
        model: The model, for its data preprocessor.
        batch: A batch of the data loader.
        augment: Apply the views of the data preprocessor, as in training.
    """
    preprocessor = model.data_preprocessor
    mixing = getattr(preprocessor, 'batch_augments', None)
    if mixing is not None:
        preprocessor.batch_augments = None
    try:
        data = preprocessor(batch, augment)
    finally:
        if mixing is not None:
            preprocessor.batch_augments = mixing
    views = data['inputs']
    return {**data, 'inputs': views if isinstance(views, Tensor) else views[0]}


def _balanced_cross_entropy(logits: Tensor, targets: Tensor) -> float:
    """Compute the mean cross-entropy of each class, averaged over the classes with images."""
    logits, targets = logits.cpu(), targets.cpu()  # Apple GPUs have no float64
    images = targets.bincount(minlength=logits.size(-1))
    weights = 1 / images.clamp(min=1).double()
    losses = F.cross_entropy(logits.double(), targets, reduction='none') * weights[targets]
    return float(losses.sum() / (images > 0).sum())


def linear_classifiers(head: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a head that give one logit for each class.

    For an :class:`ECLHead`, these are its own classifiers and the ``classifiers`` of its
    aggregator, if it has any. Other layers, such as the router of RIDE, may have the same number of
    outputs.

    Raises:
        UserError: If there are none, or a classifier of an :class:`ECLHead` is not such a layer.
    """
    size = getattr(head, 'num_classes', None)

    def fits(layer: nn.Module) -> bool:
        return isinstance(layer, nn.Linear) and layer.out_features == size

    found: list[Any]
    if isinstance(head, ECLHead):
        found = [*head.label_classifiers, *(head.distill_classifiers or ())]
        found += getattr(head.aggregator, 'classifiers', ())
    else:
        found = [layer for layer in head.modules() if fits(layer)]
    if not found or not all(map(fits, found)):
        raise UserError(
            f'the classifiers cannot be adjusted: got {type(head).__name__}, expected a head whose '
            'classifiers are linear layers of num_classes outputs'
        )
    return found

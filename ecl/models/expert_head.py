"""Head of K experts: classifiers, losses, aggregation and prediction."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmpretrain.models.heads import ClsHead
from mmpretrain.models.losses import SeesawLoss
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.linear import CosineLinear
from ecl.models.outputs import (
    READINGS,
    ExpertOutputs,
    require_gradient,
    require_hard_targets,
    require_scalar,
)
from ecl.registry import MODELS, build_part, part_class
from ecl.settings import OneOf, SettingError, Whole, validate_params


@MODELS.register_module()
class ECLHead(ClsHead):
    """Classifiers of K experts, trained by label losses and by losses between the experts.

    A loss or aggregator gets ``num_classes``, ``num_experts``, ``in_channels`` and ``reading`` if
    its constructor has these arguments, so the config need not repeat them. A classifier gets
    ``in_features`` and ``out_features``.

    Args:
        num_classes: C.
        in_channels: Dimension D of an expert's feature; :class:`ECLClassifier` fills it in.
        num_experts: K; :class:`ECLClassifier` fills it in.
        classifier: ``dict(type='Linear')`` or ``dict(type='CosineLinear', scale=...)``.
        label_loss: Loss of logits (R, C) and targets, which are class indices (R,) or
            probabilities (R, C): the mean over R rows. One config for all experts, whose rows are
            stacked, or a list of K. MMPretrain's losses fit.
        reading: Roles of the two classifiers of an expert, a key of
            :data:`~ecl.models.outputs.READINGS`: ``'single'`` is one classifier per expert.
        expert_losses: Losses between the experts by name, each called with
            (:class:`ExpertOutputs`, targets). The log shows them as ``<name>_loss``. With one
            expert, losses with ``needs_peers = True`` are removed, with a warning. The second stage
            of a training, which trains classifiers on frozen features, has no losses between
            experts.
        aggregator: Map from the experts' outputs to the logits (N, C) of the whole model. If it has
            a method ``loss``, it is trained, and the log shows ``aggregator_loss``. If it has its
            own classifiers, it lists them as ``classifiers``, so that they are also adjusted.
        predict_with: Classifiers that predict: ``'label'``, ``'distill'`` (the second ones) or
            ``'both'`` (the mean of their logits). With one classifier per expert, this option has
            no effect.
        expert: Predict only with this expert, 0 to K - 1; None is the whole model.
        init_cfg: As in MMEngine.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    @validate_params(
        num_classes=Whole(at_least=2),
        in_channels=Whole(at_least=1),
        num_experts=Whole(at_least=1),
        reading=OneOf(*READINGS),
        predict_with=OneOf('label', 'distill', 'both'),
        expert=Whole(at_least=0),
    )
    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_experts: int = 1,
        classifier: dict = {'type': 'Linear'},  # noqa: B006  read only
        label_loss: dict | Sequence[dict] = {'type': 'BalancedSoftmaxLoss'},  # noqa: B006
        reading: str = 'single',
        expert_losses: dict[str, dict] | None = None,
        aggregator: dict = {'type': 'MeanAggregator'},  # noqa: B006
        predict_with: str = 'label',
        expert: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if expert is not None and expert >= num_experts:
            raise SettingError(self, 'expert', expert, f'0 to {num_experts - 1}')
        known = dict(
            num_classes=num_classes,
            num_experts=num_experts,
            in_channels=in_channels,
            reading=reading,
        )
        label_losses = [label_loss] if isinstance(label_loss, dict) else list(label_loss)
        if len(label_losses) not in (1, num_experts):
            raise SettingError(self, 'label_loss', label_loss, f'one config, or {num_experts}')
        super().__init__(
            loss=nn.ModuleList(build_part(cfg, **known) for cfg in label_losses), init_cfg=init_cfg
        )
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_experts = num_experts
        self.reading = READINGS[reading]
        self.predict_with = predict_with
        self.expert = expert
        between = {name: cfg for name, cfg in (expert_losses or {}).items() if cfg}
        if taken := between.keys() & {'label', 'aggregator', 'contrast'}:
            raise SettingError(self, 'expert_losses', sorted(taken), 'names of no other loss')
        if num_experts == 1:
            between = _without_peers(between)
        self.expert_losses = nn.ModuleDict(
            {name: build_part(cfg, **known) for name, cfg in between.items()}
        )
        self.aggregator = build_part(aggregator, **known)

        def classifiers() -> nn.ModuleList:
            sizes = dict(in_features=in_channels, out_features=num_classes)
            return nn.ModuleList(MODELS.build({**classifier, **sizes}) for _ in range(num_experts))

        self.stage = 1
        self.label_classifiers = classifiers()
        for loss in self.loss_module.modules():  # also the losses inside a loss
            if getattr(loss, 'needs_cosine', False):
                self._require_cosine(loss, classifier)
        two = self.reading.has_aux and num_experts > 1
        self.distill_classifiers = classifiers() if two else None

    def _require_cosine(self, loss: Any, classifier: Mapping[str, Any]) -> None:
        built = self.label_classifiers[0]
        if not isinstance(built, CosineLinear) or built.scale != loss.scale:
            needed = f"dict(type='CosineLinear', scale={loss.scale}) for {type(loss).__name__}"
            raise SettingError(self, 'classifier', dict(classifier), needed)

    def keep(self, k: int) -> None:
        """Remove the classifiers of all experts except k, 0 to K - 1, in place."""
        self.label_classifiers = self.label_classifiers[k : k + 1]
        if self.distill_classifiers is not None:
            self.distill_classifiers = self.distill_classifiers[k : k + 1]
        self.num_experts = 1
        self.expert = 0

    def set_stage(self, stage: int) -> None:
        """Set the stage of the training, 1 or 2."""
        self.stage = stage

    def outputs(self, feats: tuple[Tensor, ...]) -> ExpertOutputs:
        """Apply every classifier to the feature of its expert; the logits are in float32.

        Args:
            feats: K features (N, D).

        Raises:
            UserError: If there are not K features, or not of ``in_channels``.
        """
        if len(feats) != self.num_experts:
            raise SettingError(self, 'num_experts', self.num_experts, f'{len(feats)}, as features')
        for feat in feats:
            if feat.size(-1) != self.in_channels:
                needed = f'{feat.size(-1)}, the width of the features'
                raise SettingError(self, 'in_channels', self.in_channels, needed)

        def logits(classifiers: nn.ModuleList) -> Tensor:
            pairs = zip(classifiers, feats, strict=True)
            return torch.stack([classifier(feat) for classifier, feat in pairs]).float()

        return ExpertOutputs(
            feats=tuple(feat.float() for feat in feats),
            logits=logits(self.label_classifiers),
            aux_logits=logits(self.distill_classifiers) if self.distill_classifiers else None,
        )

    def targets(self, data_samples: list[DataSample]) -> Tensor:
        """Return class indices (N,), or probabilities (N, C) after Mixup or CutMix."""
        if 'gt_score' in data_samples[0]:
            return torch.stack([sample.gt_score for sample in data_samples])
        return torch.cat([sample.gt_label for sample in data_samples])

    def losses(self, outputs: ExpertOutputs, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch, each a mean over the experts.

        All are computed in float32, also under mixed precision.

        Args:
            outputs: Outputs of the K experts.
            targets: Class indices (N,), or probabilities (N, C).

        Returns:
            ``label_loss``; in stage 1 ``<name>_loss`` of each loss between experts; and
            ``aggregator_loss`` if the aggregator learns.

        Raises:
            UserError: If a loss is not a scalar tensor, or the label loss has no gradient.
        """
        with torch.autocast(targets.device.type, enabled=False):
            logits = outputs.logits
            if self.reading.labels_teach_aux and outputs.aux_logits is not None:
                logits = torch.cat([logits, outputs.aux_logits])
            losses = {'label_loss': self.label_loss(logits, targets)}
            if self.stage == 1:
                for name, loss in self.expert_losses.items():
                    key = f'model.head.expert_losses.{name}'
                    losses[f'{name}_loss'] = require_scalar(loss(outputs, targets), key, loss)
            learn = getattr(self.aggregator, 'loss', None)
            if callable(learn):
                loss = learn(outputs, targets)
                key = 'model.head.aggregator.loss'
                losses['aggregator_loss'] = require_scalar(loss, key, self.aggregator)
        return losses

    def label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the label loss of the experts, the mean over their classifiers.

        Args:
            logits: (M * K, N, C): M kinds of classifiers, one after another.
            targets: Class indices (N,), or probabilities (N, C).
        """
        for loss in self.loss_module:
            if isinstance(loss, SeesawLoss):  # SeesawLoss counts the labels that it has seen
                require_hard_targets(loss, targets)
        # A label loss is a mean over images. Several classifiers are stacked as more images.
        parts = logits.unflatten(0, (-1, len(self.loss_module))).unbind(1)
        repeated = targets.repeat(len(parts[0]), *[1] * (targets.ndim - 1))
        losses = []
        for index, (loss, part) in enumerate(zip(self.loss_module, parts, strict=True)):
            key = 'model.head.label_loss' + (f'.{index}' if len(parts) > 1 else '')
            value = require_scalar(loss(part.flatten(0, 1), repeated), key, loss)
            require_gradient(value, part, key, loss)
            losses.append(value)
        return reduce(operator.add, losses) / len(losses)

    def adjusted(self, logits: Tensor) -> Tensor:
        """Return the logits (K, N, C) of the experts after the adjustment by their label losses.

        Balanced softmax adds tau * log prior. If a loss has no method ``adjust``, its logits are
        returned unchanged.
        """
        pairs = zip(self._label_losses(), logits, strict=True)
        return torch.stack([getattr(loss, 'adjust', _unchanged)(of_one) for loss, of_one in pairs])

    def _label_losses(self) -> list[nn.Module]:
        """Return the label loss of each of the K experts."""
        losses = list(self.loss_module)
        return losses * self.num_experts if len(losses) == 1 else losses

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute :meth:`losses` from K features (N, D) and labelled samples."""
        return self.losses(self.outputs(feats), self.targets(data_samples))

    def expert_logits(self, outputs: ExpertOutputs) -> Tensor:
        """Return the logits (K, N, C) of the predictions of each expert."""
        if outputs.aux_logits is None or self.predict_with == 'label':
            return outputs.logits
        if self.predict_with == 'distill':
            return outputs.aux_logits
        return (outputs.logits + outputs.aux_logits) / 2

    def _combine(self, outputs: ExpertOutputs) -> Tensor:
        return self.aggregator(outputs) if self.expert is None else outputs.logits[self.expert]

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Map K features (N, D) to the logits (N, C) of the whole model or the chosen expert."""
        outputs = self.outputs(feats)
        return self._combine(replace(outputs, logits=self.expert_logits(outputs)))

    def predict(
        self,
        feats: tuple[Tensor, ...],
        data_samples: list[DataSample | None] | None = None,
    ) -> list[DataSample]:
        """Predict each image.

        Every sample gets ``pred_score`` (C,), ``pred_label``, and ``expert_scores`` (K, C), the
        softmax of each expert. With two classifiers per expert, it also gets ``label_score`` and
        ``distill_score`` (C,), the predictions of the two kinds of classifiers.

        Raises:
            UserError: If the aggregator does not return logits (N, C).
        """
        outputs = self.outputs(feats)
        predicting = replace(outputs, logits=self.expert_logits(outputs))
        fields = {'expert_scores': predicting.logits.softmax(-1).transpose(0, 1)}
        if outputs.aux_logits is not None:
            by_kind = {'label_score': outputs.logits, 'distill_score': outputs.aux_logits}
            for name, logits in by_kind.items():
                fields[name] = self._combine(replace(outputs, logits=logits)).softmax(-1)
        combined = self._combine(predicting)
        if combined.shape != outputs.logits.shape[1:]:
            raise UserError(
                f'model.head.aggregator ({type(self.aggregator).__name__}) returned logits of '
                f'shape {tuple(combined.shape)}, expected (N, C) = '
                f'{tuple(outputs.logits.shape[1:])}'
            )
        predictions = self._get_predictions(combined, data_samples)
        for name, scores in fields.items():
            for sample, score in zip(predictions, scores, strict=True):
                sample.set_field(score, name)
        return predictions


def _without_peers(losses: dict[str, dict]) -> dict[str, dict]:
    """Return the losses that a single expert can have, and warn about the others."""
    left = {k: v for k, v in losses.items() if not getattr(part_class(v), 'needs_peers', False)}
    if dropped := losses.keys() - left.keys():
        MMLogger.get_current_instance().warning(
            f'model.head.expert_losses: got {", ".join(sorted(dropped))} and '
            'model.backbone.num_experts=1. These losses are removed, because one expert has no '
            'peers.'
        )
    return left


def _unchanged(logits: Tensor) -> Tensor:
    return logits


@MODELS.register_module()
class MeanAggregator(nn.Module):
    """Mean of the experts' logits [lineage: RIDE, NCL]."""

    def forward(self, outputs: ExpertOutputs) -> Tensor:
        """Map logits (K, N, C) to (N, C)."""
        return outputs.logits.mean(0)

"""The head of collaborative learning: two classifiers per expert."""

import inspect

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import SettingError, check_choice, check_whole


def build_loss(cfg: dict, **shape: int) -> nn.Module:
    """Build a loss, giving it those of the shapes that its constructor names."""
    cls = cfg['type'] if inspect.isclass(cfg['type']) else MODELS.get(cfg['type'])
    accepted = inspect.signature(cls).parameters if cls else {}
    return MODELS.build(cfg, default_args={k: v for k, v in shape.items() if k in accepted})


@MODELS.register_module()
class ECLHead(ClsHead):
    """K experts, each with a classifier taught by labels and one taught by its peers.

    Without a distillation loss, with one that teaches the label classifiers, or with one expert
    (which has no peers), the second classifiers do not exist.

    Args:
        num_classes: C.
        in_channels: Dimension D of an expert's feature; :class:`ECLClassifier` fills it in.
        num_experts: K; likewise.
        classifier: ``dict(type='Linear')`` or ``dict(type='CosineLinear', scale=...)``.
        label_loss: Loss of the label logits (K, N, C) and labels (N,).
        labels_teach: ``'label'``: labels supervise the label classifiers alone, so that the others
            know what peers teach and nothing else; ``'both'``: the mean over both classifiers, so
            that the second knows what labels and peers teach and the first is its reference.
        distill_loss: Loss between the experts' predictions, or None.
        feature_loss: Loss between the experts' features, or None.
        predict_with: Whose logits predict: ``'label'``, ``'distill'`` or ``'both'`` (their mean).
            Where there are no distill classifiers the label ones predict.
        expert: Predict with this expert alone, 0 to K - 1; None is the ensemble.
        init_cfg: As in MMEngine.

    Raises:
        UserError: If a setting is out of range, naming it.
    """

    PREDICTORS = ('label', 'distill', 'both')

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_experts: int = 1,
        classifier: dict = {'type': 'Linear'},  # noqa: B006  read only
        label_loss: dict = {'type': 'BalancedSoftmaxLoss'},  # noqa: B006
        labels_teach: str = 'label',
        distill_loss: dict | None = None,
        feature_loss: dict | None = None,
        predict_with: str = 'label',
        expert: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_whole(self, at_least=2, num_classes=num_classes)
        check_whole(self, at_least=1, in_channels=in_channels, num_experts=num_experts)
        check_choice(self, ('label', 'both'), labels_teach=labels_teach)
        check_choice(self, self.PREDICTORS, predict_with=predict_with)
        if expert is not None:
            check_whole(self, at_least=0, at_most=num_experts - 1, expert=expert)
        shape = dict(num_classes=num_classes, num_experts=num_experts, in_channels=in_channels)
        super().__init__(loss=build_loss(label_loss, **shape), init_cfg=init_cfg)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_experts = num_experts
        self.labels_teach = labels_teach
        self.predict_with = predict_with
        self.expert = expert
        if num_experts == 1:
            distill_loss = feature_loss = None
        self.distill_loss = build_loss(distill_loss, **shape) if distill_loss else None
        self.feature_loss = build_loss(feature_loss, **shape) if feature_loss else None

        def classifiers() -> nn.ModuleList:
            sizes = dict(in_features=in_channels, out_features=num_classes)
            return nn.ModuleList(MODELS.build({**classifier, **sizes}) for _ in range(num_experts))

        self.label_classifiers = classifiers()
        two = self.distill_loss is not None and self.distill_loss.uses_distill_classifier
        self.distill_classifiers = classifiers() if two else None
        if getattr(self.distill_loss, 'teacher', 'label') == 'distill' and labels_teach != 'both':
            raise UserError(
                "model.head.distill_loss.teacher = 'distill' needs teachers that know the labels: "
                "set model.head.labels_teach = 'both'"
            )

    def classify(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Map K features (N, D) to label and distill logits, each (K, N, C) in float32.

        Without distill classifiers both are the label logits.

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

        by_labels = logits(self.label_classifiers)
        if self.distill_classifiers is None:
            return by_labels, by_labels
        return by_labels, logits(self.distill_classifiers)

    def expert_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Map K features (N, D) to the logits (K, N, C) by which each expert predicts."""
        by_labels, by_peers = self.classify(feats)
        if self.predict_with == 'both':
            return (by_labels + by_peers) / 2
        return by_labels if self.predict_with == 'label' else by_peers

    def _combine(self, logits: Tensor) -> Tensor:
        return logits.mean(0) if self.expert is None else logits[self.expert]

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Map K features (N, D) to the logits (N, C) of the ensemble or the chosen expert."""
        return self._combine(self.expert_logits(feats))

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute ``label_loss`` and, where configured, ``distill_loss`` and ``feature_loss``."""
        labels = torch.cat([sample.gt_label for sample in data_samples])
        by_labels, by_peers = self.classify(feats)
        taught = torch.cat([by_labels, by_peers]) if self.labels_teach == 'both' else by_labels
        losses = {'label_loss': self.loss_module(taught, labels)}
        if self.distill_loss is not None:
            losses['distill_loss'] = self.distill_loss(by_labels, by_peers, labels)
        if self.feature_loss is not None:
            losses['feature_loss'] = self.feature_loss(*feats)
        return losses

    def predict(
        self,
        feats: tuple[Tensor, ...],
        data_samples: list[DataSample | None] | None = None,
    ) -> list[DataSample]:
        """Predict; each sample gets ``pred_score`` (C,), ``pred_label`` and ``expert_scores``.

        ``expert_scores`` (K, C) holds the softmax of every expert alone.
        """
        logits = self.expert_logits(feats)
        predictions = self._get_predictions(self._combine(logits), data_samples)
        for sample, scores in zip(predictions, logits.softmax(-1).transpose(0, 1), strict=True):
            sample.set_field(scores, 'expert_scores')
        return predictions

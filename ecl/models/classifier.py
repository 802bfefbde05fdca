"""Classifier of K experts: the data flow of one step, and test-time augmentation."""

import torch
from mmpretrain.models import AverageClsScoreTTA
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.outputs import require_scalar
from ecl.models.trial_run import feature_width
from ecl.registry import MODELS, build_part
from ecl.settings import OneOf, validate_params


@MODELS.register_module()
class ECLClassifier(ImageClassifier):
    """Classifier with K experts: compute predictions, or the losses of one step.

    The number of experts and the width of their features are read from the backbone, so the configs
    of the head and the contrastive branch need not repeat them.

    Args:
        backbone: :class:`MultiExpertBackbone`, or a plain MMPretrain backbone as one expert.
        head: :class:`ECLHead`.
        neck: From K outputs of the backbone to K vectors.
        contrast: Contrastive branch, such as :class:`MomentumContrast`, or None. It is called with
            (:class:`ExpertOutputs`, targets, views after the first). Its constructor gets the
            network from images to K features as ``encoder``, the K classifiers that labels
            supervise as ``classifiers`` and the head as ``head``, if it names them. A branch with a
            method ``mix_views`` changes views and targets before the step. Its attribute
            ``needs_views`` (default 2) is the number of views that the data must have. A branch
            that also trains the network on the views after the first sets
            ``trains_on_views = True`` for the memory estimate.
        expert_reduction: How a loss is reduced over the experts. ``'sum'``: each expert has the
            learning rate that a recipe sets for a single network [lineage: NCL]. ``'mean'``: 1 / K
            of this rate.
        data_preprocessor: :class:`MultiViewDataPreprocessor` unless its type says otherwise.
        train_cfg: ``dict(augments=...)`` of ``ImageClassifier``: Mixup and CutMix apply to the
            first view, and the losses receive mixed labels.
        init_cfg: As in ``ImageClassifier``.

    Raises:
        UserError: If an option is out of range.
    """

    @validate_params(expert_reduction=OneOf('sum', 'mean'))
    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict = {'type': 'FeaturePooling'},  # noqa: B006  read only
        contrast: dict | None = None,
        expert_reduction: str = 'sum',
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        network, pooling = MODELS.build(backbone), MODELS.build(neck)
        known = dict(num_experts=getattr(network, 'num_experts', 1))
        if 'in_channels' not in head:
            known['in_channels'] = feature_width(nn.Sequential(network, pooling))
        preprocessor = {'type': 'MultiViewDataPreprocessor', **(data_preprocessor or {})}
        if train_cfg:
            mixing = dict(batch_augments=train_cfg, to_onehot=True, num_classes=head['num_classes'])
            preprocessor.update(mixing)
        super().__init__(
            backbone=network,
            neck=pooling,
            head=MODELS.build(head, default_args=known),
            data_preprocessor=MODELS.build(preprocessor),
            init_cfg=init_cfg,
        )
        self.expert_reduction = expert_reduction
        self.contrast = None
        if contrast is not None:
            known['num_classes'] = self.head.num_classes
            known['in_channels'] = self.head.in_channels
            encoder = nn.Sequential(self.backbone, self.neck)
            parts = dict(encoder=encoder, classifiers=self.head.label_classifiers, head=self.head)
            self.contrast = build_part(contrast, **parts, **known)

    def loss(
        self, inputs: Tensor | list[Tensor], data_samples: list[DataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of one batch; their sum is minimised.

        Args:
            inputs: Images (N, 3, H, W), or the views of each image as a list of such tensors. The
                first view is classified, the others go to the contrastive branch.
            data_samples: N samples with ``gt_label``, or ``gt_score`` after Mixup and CutMix.

        Returns:
            ``label_loss``, ``<name>_loss`` of each loss between experts, and ``contrast_loss``,
            reduced over the experts as ``expert_reduction`` says.

        Raises:
            UserError: If the contrastive branch finds too few views, or a loss is not a scalar.
        """
        views = [inputs] if isinstance(inputs, Tensor) else inputs
        targets = self.head.targets(data_samples)
        if self.contrast is not None:
            needed = getattr(self.contrast, 'needs_views', 2)
            if len(views) < needed:
                raise UserError(
                    f'model.contrast: views of each image: got {len(views)}, expected at least '
                    f'{needed}. Use MultiView in the train pipeline, or data_preprocessor.views.'
                )
            if callable(mix_views := getattr(self.contrast, 'mix_views', None)):
                views, targets = mix_views(views, targets)
        feats = self.extract_feat(views[0])
        outputs = self.head.outputs(feats)
        losses = self.head.losses(outputs, targets)
        if self.contrast is not None:
            loss = self.contrast(outputs, targets, views[1:])
            losses['contrast_loss'] = require_scalar(loss, 'model.contrast', self.contrast)
        factor = len(feats) if self.expert_reduction == 'sum' else 1
        return dict(zip(losses, factor * torch.stack([*losses.values()]), strict=True))


@MODELS.register_module()
class AverageScoresTTA(AverageClsScoreTTA):
    """Average scores over views, as MMPretrain does, also for single experts and classifiers.

    Args:
        module: The model, or its config.
        data_preprocessor: Of the model, where its config has none.

    Example:
        >>> tta_model = dict(type='AverageScoresTTA')
    """

    def _merge_single_sample(self, data_samples: list[DataSample]) -> DataSample:
        merged = super()._merge_single_sample(data_samples)
        # The parent keeps these two from the first view.
        merged.set_pred_label(merged.pred_score.argmax().reshape(1))
        for name in ('expert_scores', 'label_score', 'distill_score'):
            if name in merged:
                views = torch.stack([sample.get(name) for sample in data_samples])
                merged.set_field(views.mean(dim=0), name)
        return merged

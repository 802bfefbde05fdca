"""The data flow of one step."""

from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS


@MODELS.register_module()
class ECLClassifier(ImageClassifier):
    """Images through K experts to a prediction, or to the losses of collaborative learning.

    The backbone says how many experts there are and how wide their features: the head and the
    contrastive branch need not repeat it.

    Args:
        backbone: :class:`MultiExpertBackbone`, or a plain MMPretrain backbone as one expert.
        neck: From K feature maps to K vectors, such as ``GlobalAveragePooling``.
        head: :class:`ECLHead`.
        contrast: :class:`MomentumContrast`, or None. Training then needs two views per image.
        data_preprocessor: :class:`MultiViewDataPreprocessor` unless its type says otherwise.
        train_cfg: As in ``ImageClassifier``.
        init_cfg: As in ``ImageClassifier``.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        contrast: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        network = MODELS.build(backbone)
        pooling = MODELS.build(neck)
        shape = dict(
            num_experts=getattr(network, 'num_experts', 1),
            in_channels=getattr(network, 'feat_dim', None),
        )
        preprocessor = {'type': 'MultiViewDataPreprocessor', **(data_preprocessor or {})}
        if train_cfg:
            preprocessor['batch_augments'] = train_cfg
        super().__init__(
            backbone=network,
            neck=pooling,
            head=MODELS.build(head, default_args=shape),
            data_preprocessor=MODELS.build(preprocessor),
            init_cfg=init_cfg,
        )
        self.contrast = None
        if contrast is not None:
            self.contrast = MODELS.build(
                contrast, default_args=dict(encoder=self._encoder, **shape)
            )

    @property
    def _encoder(self) -> nn.Module:
        return nn.Sequential(self.backbone, self.neck)

    def loss(
        self, inputs: Tensor | list[Tensor], data_samples: list[DataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of one batch.

        Args:
            inputs: Images (N, 3, H, W), or the views of each image as a list of such tensors;
                the first view meets the labels, the second is the key of the contrastive branch.
            data_samples: N samples with ``gt_label``.

        Returns:
            ``label_loss`` and, where configured, ``distill_loss``, ``feature_loss`` and
            ``contrast_loss``, each K times its mean over the experts; their sum is minimised. So
            an expert learns at the rate that a recipe gives a single network [lineage: NCL].

        Raises:
            UserError: If the contrastive branch finds a single view.
        """
        views = [inputs] if isinstance(inputs, Tensor) else inputs
        feats = self.extract_feat(views[0])
        losses = self.head.loss(feats, data_samples)
        if self.contrast is not None:
            if len(views) < 2:
                raise UserError(
                    'model.contrast needs two views per image: use MultiView in the train pipeline'
                )
            losses['contrast_loss'] = self.contrast.loss(self._encoder, feats, views[1])
        return {name: len(feats) * loss for name, loss in losses.items()}

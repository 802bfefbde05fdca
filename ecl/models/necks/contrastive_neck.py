"""Projections of the experts' features for the contrastive proxy task."""

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.necks import MoCoV2Neck
from torch import Tensor

from ecl.registry import MODELS
from ecl.settings import check_whole


@MODELS.register_module()
class ContrastiveNeck(BaseModule):
    """One two-layer perceptron per expert, its output normalised to length 1 [lineage: MoCo v2].

    Args:
        in_channels: Dimension D of a feature.
        num_experts: K.
        hid_channels: Hidden units.
        out_channels: Dimension of a projection.
        init_cfg: As in MMEngine.

    Raises:
        UserError: If a size is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_experts: int,
        hid_channels: int = 128,
        out_channels: int = 64,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = dict(hid_channels=hid_channels, out_channels=out_channels)
        check_whole(self, at_least=1, num_experts=num_experts, **sizes)
        self.out_channels = out_channels
        self.projections = ModuleList(
            MoCoV2Neck(in_channels, hid_channels, out_channels, with_avg_pool=False)
            for _ in range(num_experts)
        )

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map K features (N, D) to K unit vectors (N, out_channels), in float32."""
        return tuple(
            F.normalize(project((feat,))[0].float(), dim=1)
            for project, feat in zip(self.projections, feats, strict=True)
        )

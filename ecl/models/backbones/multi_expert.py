"""K expert networks, whole or on a shared trunk."""

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import check_whole


def _blank(network: nn.Module, names: list[str]) -> None:
    """Replace children of a network by the identity, so that its own forward skips them."""
    for name in names:
        setattr(network, name, nn.Identity())


@MODELS.register_module()
class MultiExpertBackbone(BaseModule):
    """K networks of one architecture, each an expert, started from different random weights.

    Args:
        backbone: Config of one expert. Any MMPretrain backbone, whose last output is used; for
            ``shared_stages`` a member of the ResNet family. An ``init_cfg`` of type
            ``Pretrained`` inside it loads the weights of a plain network into every expert (and
            into the trunk).
        num_experts: K, at least 1.
        shared_stages: 0 shares nothing; s > 0 computes the stem and the first s stages once.
        init_cfg: Initialisation of the whole, on top of the experts' own.

    Raises:
        UserError: If K < 1, or the backbone has no such stages to share.

    Example:
        >>> import torch
        >>> net = MultiExpertBackbone(dict(type='ResNetCIFAR', depth=8), num_experts=2)
        >>> [tuple(x.shape) for x in net(torch.rand(4, 3, 16, 16))]
        [(4, 64, 4, 4), (4, 64, 4, 4)]
    """

    def __init__(
        self,
        backbone: dict,
        num_experts: int = 3,
        shared_stages: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_whole(self, at_least=1, num_experts=num_experts)
        check_whole(self, at_least=0, shared_stages=shared_stages)
        self.num_experts = num_experts
        # MMEngine's list, unlike PyTorch's, passes init_weights on.
        self.experts = ModuleList(MODELS.build(backbone) for _ in range(num_experts))
        self.trunk = MODELS.build(backbone) if shared_stages else None
        if self.trunk is not None:
            self._share(self.trunk, shared_stages)
        # Convolutions run faster so on CPU (by half again) and in mixed precision on GPU.
        self.to(memory_format=torch.channels_last)
        self.feat_dim: int | None = getattr(self.experts[0], 'feat_dim', None)

    def _share(self, trunk: nn.Module, shared_stages: int) -> None:
        stages = getattr(trunk, 'res_layers', [])
        if not 0 < shared_stages < len(stages):
            raise UserError(
                f'backbone.shared_stages = {shared_stages}: '
                f'{type(trunk).__name__} can share 1 to {len(stages) - 1} stages'
                if stages
                else f'backbone.shared_stages: {type(trunk).__name__} has no ResNet stages'
            )
        stem = [name for name, _ in trunk.named_children() if name not in stages]
        _blank(trunk, stages[shared_stages:])
        for expert in self.experts:
            _blank(expert, stem + stages[:shared_stages])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to K feature maps (N, D, h, w)."""
        if self.trunk is not None:
            x = self.trunk(x)[-1]
        return tuple(expert(x)[-1] for expert in self.experts)

"""CIFAR ResNets of 6n + 2 layers."""

from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock

from ecl.registry import MODELS
from ecl.settings import OneOf, Whole, validate_params


@MODELS.register_module()
class ResNetCIFAR(ResNet_CIFAR):
    """ResNet of 6n + 2 layers for small images: three stages of widths 16, 32 and 64.

    The network of He et al. (2016) that the field trains on CIFAR-LT (ResNet-32: 0.47 M
    parameters). Where a block changes the width its shortcut is a 1 x 1 convolution.

    Args:
        depth: 8, 14, 20, 32, 44, 56 or 110.
        base_channels: Width of the first stage; each later one doubles it.
        zero_init_residual: Start every block as the identity.
        **kwargs: As in MMPretrain's ``ResNet``: ``in_channels``, ``norm_cfg``, ``norm_eval``,
            ``frozen_stages``, ``with_cp``, ``drop_path_rate``, ``init_cfg``.

    Raises:
        UserError: If ``depth`` is none of these, or ``base_channels`` is below 1.

    Example:
        >>> import torch
        >>> ResNetCIFAR(8)(torch.rand(1, 3, 32, 32))[-1].shape
        torch.Size([1, 64, 8, 8])
    """

    arch_settings = {6 * n + 2: (BasicBlock, (n, n, n)) for n in (1, 2, 3, 5, 7, 9, 18)}

    @validate_params(depth=OneOf(*arch_settings), base_channels=Whole(at_least=1))
    def __init__(
        self, depth: int, base_channels: int = 16, zero_init_residual: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(
            depth,
            stem_channels=base_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            zero_init_residual=zero_init_residual,
            **kwargs,
        )

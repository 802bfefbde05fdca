"""CIFAR ResNets of 6n + 2 layers."""

from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock, ResLayer

from ecl.registry import MODELS
from ecl.settings import Each, OneOf, SettingError, Whole, validate_params


@MODELS.register_module()
class ResNetCIFAR(ResNet_CIFAR):
    """ResNet of 6n + 2 layers for small images: three stages of widths 16, 32 and 64.

    The network of He et al. (2016) that is common for CIFAR-LT (ResNet-32: 0.47 M parameters). If a
    block changes the width, its shortcut is a 1 x 1 convolution.

    Args:
        depth: 8, 14, 20, 32, 44, 56 or 110.
        stage_channels: Widths of the three stages; the stem has the width of the first one.
            RIDE and SADE take (16, 24, 48): 3/4 of the width in the stages that experts do not
            share.
        out_indices: Stages whose maps are output, of 0 to 2.
        zero_init_residual: Start every block as the identity.
        **kwargs: As in MMPretrain's ``ResNet``: ``in_channels``, ``norm_cfg``, ``norm_eval``,
            ``frozen_stages``, ``with_cp``, ``drop_path_rate``, ``init_cfg``.

    Raises:
        UserError: If ``depth`` is none of these, ``stage_channels`` is not three widths, or there
            is no such stage to output.

    Example:
        >>> import torch
        >>> ResNetCIFAR(8)(torch.rand(1, 3, 32, 32))[-1].shape
        torch.Size([1, 64, 8, 8])
    """

    arch_settings = {6 * n + 2: (BasicBlock, (n, n, n)) for n in (1, 2, 3, 5, 7, 9, 18)}

    @validate_params(
        depth=OneOf(*arch_settings),
        stage_channels=Each(Whole(at_least=1)),
        out_indices=Each(Whole(at_least=0, at_most=2)),
    )
    def __init__(
        self,
        depth: int,
        stage_channels: tuple[int, int, int] = (16, 32, 64),
        out_indices: tuple[int, ...] = (2,),
        zero_init_residual: bool = False,
        **kwargs: Any,
    ) -> None:
        if len(stage_channels) != 3:
            raise SettingError(self, 'stage_channels', stage_channels, 'three widths')
        self.stage_channels = stage_channels  # the constructor of the base builds the stages
        super().__init__(
            depth,
            stem_channels=stage_channels[0],
            base_channels=stage_channels[0],
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=out_indices,
            zero_init_residual=zero_init_residual,
            **kwargs,
        )

    def make_res_layer(self, **kwargs: Any) -> ResLayer:
        """Build the next stage with its width in ``stage_channels``."""
        stage = len(self.res_layers)
        kwargs['in_channels'] = self.stage_channels[max(stage - 1, 0)]
        kwargs['out_channels'] = self.stage_channels[stage]
        return super().make_res_layer(**kwargs)

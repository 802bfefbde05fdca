"""Shapes of the outputs of a network, found by a trial run without data."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ecl.errors import UserError

#: Image sizes to try; the first one that the network accepts is used.
_TRIAL_SIZES = (224, 32)


def trial_outputs(encoder: nn.Module) -> tuple[Tensor, ...]:
    """Find the shapes of the outputs by a trial run on the ``meta`` device.

    Args:
        encoder: Network from images (N, 3, H, W) to a tuple of tensors.

    Returns:
        Its outputs for one image, on the ``meta`` device.

    Raises:
        UserError: If the network accepts none of the trial images.
    """
    tensors = dict(encoder.named_parameters()) | dict(encoder.named_buffers())
    state = {name: tensor.to('meta') for name, tensor in tensors.items()}
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        for size in _TRIAL_SIZES:
            try:
                with torch.no_grad():
                    image = torch.empty(1, 3, size, size, device='meta')
                    return functional_call(encoder, state, image)
            except (RuntimeError, AssertionError, NotImplementedError):
                continue
        raise UserError(
            'model.head.in_channels: the width of the features was not found by a trial run. '
            'Set it to the number of channels that the backbone outputs.'
        )
    finally:
        for module, mode in modes:
            module.training = mode


def feature_width(encoder: nn.Module) -> int:
    """Find the width D of the K features (N, D) of a network by a trial run."""
    return trial_outputs(encoder)[0].size(-1)

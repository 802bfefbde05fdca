"""Optimizer wrapper for mixed precision in bfloat16, on CPU and GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ecl.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast, on the device of the model.

    MMEngine's ``AmpOptimWrapper`` needs a GPU. bfloat16 has the range of float32, so the loss needs
    no scaling. Weights, gradients and optimizer states stay float32.

    It takes the arguments of :class:`mmengine.optim.OptimWrapper`, such as ``accumulative_counts``
    and ``clip_grad``.

    Example:
        >>> optim_wrapper = dict(type='Bfloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast one forward pass; do not synchronise gradients while they accumulate.

        Args:
            model: The model in training.
        """
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield

"""Mixed precision in bfloat16, on a CPU as on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ecl.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast, on the device that holds the model.

    MMEngine's ``AmpOptimWrapper`` refuses to run without a GPU. bfloat16 has the range of float32,
    so no loss scaling is needed; weights, gradients and optimizer states stay float32.

    Takes the arguments of :class:`mmengine.optim.OptimWrapper`, ``accumulative_counts`` and
    ``clip_grad`` among them.

    Example:
        >>> optim_wrapper = dict(type='Bfloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast one forward pass, and hold back gradient synchronisation while accumulating.

        Args:
            model: The model in training.
        """
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield

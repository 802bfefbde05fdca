"""Cast weights and count batches for all layers in one operation, in a captured step.

A small kernel takes as long as its launch, also in a graph. Casting the weights of a network to
bfloat16, their gradients back, and counting the batches of its norm layers takes three such kernels
for each layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Cast(torch.autograd.Function):
    """Cast many tensors, and their gradients back."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        return tuple(_cast(tensors, [dtype] * len(tensors)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [(g, d) for g, d in zip(gradients, ctx.dtypes, strict=True) if g is not None]
        results = iter(_cast([g for g, _ in given], [d for _, d in given]))
        return None, *(None if g is None else next(results) for g in gradients)


def _cast(tensors: Any, dtypes: list[torch.dtype]) -> list[Tensor]:
    results = [torch.empty_like(t, dtype=d) for t, d in zip(tensors, dtypes, strict=True)]
    if results:
        torch._foreach_copy_(results, list(tensors))
    return results


@contextmanager
def cast_at_once(model: nn.Module) -> Iterator[tuple[Tensor, ...]]:
    """Cast the weights of the trained convolutions to the precision of autocast.

    Results equal those of autocast, which casts each weight where it is used. Nothing changes
    without autocast.

    Args:
        model: In a forward pass of training, under :class:`torch.autocast`.

    Yields:
        The cast weights. Keep them until the end of the step: experts use them on other streams,
        which PyTorch's allocator does not track.
    """
    device = next(model.parameters()).device.type
    convolutions: list[Any] = [
        module
        for module in model.modules()
        if type(module) is nn.Conv2d and module.weight.requires_grad
    ]
    if not (torch.is_autocast_enabled(device) and convolutions):
        yield ()
        return
    weights = [module.weight for module in convolutions]
    cast = _Cast.apply(torch.get_autocast_dtype(device), *weights)
    try:
        for module, weight in zip(convolutions, cast, strict=True):
            module._parameters['weight'] = weight
        yield cast
    finally:
        for module, weight in zip(convolutions, weights, strict=True):
            module._parameters['weight'] = weight


class _Uses:
    """Replacement of the counter of a norm layer."""

    def __init__(self) -> None:
        self.number = 0

    def add_(self, number: int) -> None:
        self.number += number


@contextmanager
def count_at_once(model: nn.Module) -> Iterator[None]:
    """Count the batches of all norm layers in one operation after the forward pass.

    Args:
        model: In a forward pass of training.
    """
    norms: list[Any] = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and module.training
        and module.num_batches_tracked is not None
        and module.momentum is not None
    ]
    counters = [module.num_batches_tracked for module in norms]
    uses = [_Uses() for _ in norms]
    try:
        for module, use in zip(norms, uses, strict=True):
            module._buffers['num_batches_tracked'] = use
        yield
    finally:
        for module, counter in zip(norms, counters, strict=True):
            module._buffers['num_batches_tracked'] = counter
    used = [
        (counter, use.number) for counter, use in zip(counters, uses, strict=True) if use.number
    ]
    if used:
        torch._foreach_add_([counter for counter, _ in used], [number for _, number in used])

"""Losses are computed in float32, also under mixed precision."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def in_float32(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a module's ``forward(self, tensor, ...)`` outside autocast on float32 arguments."""

    @functools.wraps(forward)
    def wrapper(self: nn.Module, *args: Any) -> Tensor:
        with torch.autocast(args[0].device.type, enabled=False):
            return forward(
                self, *(arg.float() if torch.is_floating_point(arg) else arg for arg in args)
            )

    return wrapper

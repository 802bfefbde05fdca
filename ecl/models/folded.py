"""Evaluate a network with BatchNorm folded into the preceding convolutions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

#: A convolution, and the norm layer that receives its output.
Pair = tuple[nn.Conv2d, nn.BatchNorm2d | nn.SyncBatchNorm]


class FoldedNorms:
    """Run a network in evaluation mode with BatchNorm folded into convolutions.

    BatchNorm with running statistics multiplies each channel by a number and adds another one.
    The preceding convolution can do both, which saves a pass over the feature map. In mixed
    precision, folding also casts the weights. Weights are folded again in each call, so they may
    change between calls. Weights of the same shape are folded together. Results equal those of the
    network except for rounding.

    Args:
        network: From images (N, 3, H, W) to anything. It is not changed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._pairs: list[Pair] | None = None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Any:
        """Return the output of the network."""
        if self._pairs is None:
            self._pairs = foldable(self.network, images[:1])
        with _replaced(self._pairs, images.device.type):
            return self.network(images)


class _Watch(TorchFunctionMode):
    """Record the convolutions whose output is used by something other than a norm layer.

    Examples are a shortcut that starts before the norm layer, and an in-place activation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
        self.elsewhere: set[nn.Conv2d] = set()
        self.paused = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not self.paused:
            leaves = tree_leaves((args, kwargs))
            self.elsewhere |= {
                self.outputs[id(leaf)][0] for leaf in leaves if id(leaf) in self.outputs
            }
        return func(*args, **(kwargs or {}))


def foldable(network: nn.Module, images: Tensor) -> list[Pair]:
    """Find the convolutions whose output is used only by a BatchNorm, by a trial run.

    Pairs are ordered by the shape of the weights.

    Args:
        network: In evaluation mode.
        images: Images for the trial run.
    """
    pairs: list[Pair] = []
    uses: Counter[nn.Module] = Counter()
    watch = _Watch()

    def after(convolution: Any, _: Any, output: Tensor) -> None:
        uses[convolution] += 1
        watch.outputs[id(output)] = convolution, output

    def before(norm: Any, args: tuple) -> None:
        uses[norm] += 1
        if id(args[0]) in watch.outputs:
            pairs.append((watch.outputs[id(args[0])][0], norm))
        watch.paused = True

    def done(*_: Any) -> None:
        watch.paused = False

    handles = []
    for module in network.modules():
        if type(module) is nn.Conv2d and module.bias is None:
            handles.append(module.register_forward_hook(after))
        elif type(module) in (nn.BatchNorm2d, nn.SyncBatchNorm):
            handles.append(module.register_forward_pre_hook(before))
            handles.append(module.register_forward_hook(done))
    try:
        with watch:
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    # One value of eps, so that all are folded in one operation.
    fit = [
        (convolution, norm)
        for convolution, norm in pairs
        if uses[convolution] == uses[norm] == 1
        and convolution not in watch.elsewhere
        and norm.affine
        and norm.track_running_stats
        and norm.eps == pairs[0][1].eps
    ]
    return sorted(fit, key=lambda pair: pair[0].weight.shape)


def _fold(pairs: list[Pair], dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the weight and the bias that replace each convolution and its norm layer."""
    norms = [norm for _, norm in pairs]
    names = 'weight', 'bias', 'running_mean', 'running_var'
    gain, bias, mean, variance = (torch.cat([getattr(n, name) for n in norms]) for name in names)
    scale = gain * (variance + norms[0].eps).rsqrt()
    shift = torch.addcmul(bias, mean, scale, value=-1).to(dtype)
    start = 0
    for _, group in groupby(pairs, key=lambda pair: pair[0].weight.shape):
        # Channels last, the memory format of the images.
        stacked = torch.stack([conv.weight.permute(0, 2, 3, 1) for conv, _ in group])
        rows = stacked.shape[:2]
        part = slice(start, start + rows.numel())
        folded = torch.empty_like(stacked, dtype=dtype)
        torch.mul(stacked, scale[part].view(*rows, 1, 1, 1), out=folded)
        yield from zip(folded.permute(0, 1, 4, 2, 3), shift[part].view(rows), strict=True)
        start = part.stop


@contextmanager
def _replaced(pairs: list[Pair], device: str) -> Iterator[None]:
    """Use folded weights in the convolutions and make the norm layers return their input."""
    if not pairs:
        yield
        return
    mixed = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else pairs[0][0].weight.dtype
    weights = [convolution.weight for convolution, _ in pairs]
    layers: list[tuple[Any, Any]] = list(pairs)
    try:
        for (convolution, norm), (weight, bias) in zip(layers, _fold(pairs, dtype), strict=True):
            convolution._parameters.update(weight=weight, bias=bias)
            norm.forward = _unchanged
        yield
    finally:
        for (convolution, norm), weight in zip(layers, weights, strict=True):
            convolution._parameters.update(weight=weight, bias=None)
            vars(norm).pop('forward', None)


def _unchanged(x: Tensor) -> Tensor:
    return x

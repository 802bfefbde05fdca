"""Train faster: bfloat16 autocast, and keeping memory between steps."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from ecl.registry import HOOKS, OPTIM_WRAPPERS


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


# Options of glibc's malloc.h, and the largest value that an option takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


def keep_memory() -> None:
    """Set the options of glibc in this process and in the workers that it starts."""
    if platform.libc_ver()[0] == 'glibc':
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST)
        library.mallopt(M_TRIM_THRESHOLD, LARGEST)


def return_memory() -> None:
    """Return freed memory to the system, where the C library is glibc."""
    if platform.libc_ver()[0] == 'glibc':
        ctypes.CDLL(None).malloc_trim(0)


@HOOKS.register_module()
class KeepMemoryHook(Hook):
    """Keep large freed buffers in the process instead of returning them to the system.

    Each training step on a CPU frees its feature maps. By default glibc returns them to the kernel,
    which clears and maps the pages again for the next step. With this hook memory stays at its
    peak until the next validation, whose data workers would copy it. Results do not change. The
    hook does nothing on a GPU or without glibc.

    Example:
        >>> default_hooks = dict(keep_memory=dict(type='KeepMemoryHook'))
    """

    def before_run(self, runner: Runner) -> None:
        """Set the options before workers are started."""
        if not torch.cuda.is_available():
            keep_memory()

    def before_val(self, runner: Runner) -> None:
        """Return freed memory before workers are forked."""
        if not torch.cuda.is_available():
            return_memory()

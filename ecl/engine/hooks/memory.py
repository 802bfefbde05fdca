"""Keep freed memory for the next step on a CPU."""

import ctypes
import platform

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ecl.registry import HOOKS

# Options of glibc's malloc.h, and the largest value that an option takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


def keep_memory() -> None:
    """Set the options of glibc in this process and in the workers that it starts."""
    if platform.libc_ver()[0] == 'glibc':
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST)
        library.mallopt(M_TRIM_THRESHOLD, LARGEST)


@HOOKS.register_module()
class KeepMemoryHook(Hook):
    """Keep large freed buffers in the process instead of returning them to the system.

    Each training step on a CPU frees its feature maps. By default glibc returns them to the kernel,
    which clears and maps the pages again for the next step. With this hook memory stays at its
    peak. Results do not change. The hook does nothing on a GPU or without glibc.

    Example:
        >>> default_hooks = dict(keep_memory=dict(type='KeepMemoryHook'))
    """

    def before_run(self, runner: Runner) -> None:
        """Set the options before workers are started."""
        if not torch.cuda.is_available():
            keep_memory()

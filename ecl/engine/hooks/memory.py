"""Keep freed memory for the next step."""

import ctypes
import platform

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ecl.registry import HOOKS

# Names of glibc's malloc.h, and the largest value that an option takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


def keep_memory() -> None:
    """Set the options of glibc for this process, and for the workers started from it."""
    if platform.libc_ver()[0] == 'glibc':
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST)
        library.mallopt(M_TRIM_THRESHOLD, LARGEST)


@HOOKS.register_module()
class KeepMemoryHook(Hook):
    """Tell the C library not to hand large freed buffers back to the system.

    Each training step on a CPU frees its feature maps, and by default glibc returns them to the
    kernel, which clears and maps the pages again, page by page, for the next step. Kept instead,
    memory stays at its peak. Results do not change. Where there is no glibc the hook does nothing.

    Example:
        >>> custom_hooks = [dict(type='KeepMemoryHook')]
    """

    def before_run(self, runner: Runner) -> None:
        """Set the options before there are workers."""
        keep_memory()

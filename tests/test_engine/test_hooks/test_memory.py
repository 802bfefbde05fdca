import platform
import resource

import pytest
import torch

from ecl.engine.hooks import KeepMemoryHook


def page_faults() -> int:
    """Pages mapped while 48 MB, 12,000 pages, are written and freed.

    glibc by itself keeps no buffer above 32 MB.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='an option of glibc')
def test_freed_memory_is_used_again_instead_of_mapped_anew():
    KeepMemoryHook().before_run(None)
    # The least, since a system short of memory takes pages back at any time.
    assert min(page_faults() for _ in range(10)) < 50

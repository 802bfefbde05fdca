import platform
import resource

import pytest
import torch

from ecl.engine.hooks import KeepMemoryHook


def page_faults(rounds: int) -> int:
    """Pages mapped while 16 MB, 4,000 pages, are written and freed again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='an option of glibc')
def test_freed_memory_is_used_again_instead_of_mapped_anew():
    KeepMemoryHook().before_run(None)
    page_faults(rounds=2)
    assert page_faults(rounds=10) < 500

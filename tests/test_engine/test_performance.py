import platform
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

import ecl.engine  # noqa: F401
from ecl.engine import KeepMemoryHook
from ecl.registry import OPTIM_WRAPPERS


def make(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type='Bfloat16OptimWrapper', optimizer=optimizer, **kwargs))


def test_forward_is_bfloat16_and_weights_stay_float32():
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    wrapper = make(model)
    with wrapper.optim_context(model):
        output = model(torch.randn(3, 4))
        loss = nn.functional.cross_entropy(output, torch.tensor([0, 1, 0]))
    assert output.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    wrapper.update_params(loss)
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)
    assert model(torch.randn(3, 4)).dtype == torch.float32


def test_accumulates_gradients_over_steps():
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    wrapper = make(model, accumulative_counts=2)
    for step in range(2):
        assert torch.equal(model.weight, before)
        with wrapper.optim_context(model):
            loss = model(torch.ones(3, 4)).float().pow(2).mean()
        wrapper.update_params(loss)
        assert (step == 1) != torch.equal(model.weight, before)


def test_clips_gradients():
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    wrapper = make(model, clip_grad=dict(max_norm=1e-3))
    with wrapper.optim_context(model):
        loss = 100 * model(torch.ones(3, 4)).float().pow(2).mean()
    wrapper.update_params(loss)
    assert 0 < (model.weight - before).norm() <= 1.01e-4


def test_a_config_names_it_without_prefix():
    assert OPTIM_WRAPPERS.get('Bfloat16OptimWrapper') is not None


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


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='an option of glibc')
def test_a_validation_returns_freed_memory():
    hook = KeepMemoryHook()
    hook.before_run(None)
    torch.ones(12_000_000)
    kept = resident_bytes()
    hook.before_val(None)
    assert kept - resident_bytes() > 40e6


def resident_bytes() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()

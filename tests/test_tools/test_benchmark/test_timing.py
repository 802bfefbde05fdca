from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.dist import get_world_size
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

import _timing
from _timing import (
    Enough,
    InterleaveHook,
    PILViews,
    Reading,
    build_loops,
    median_rate,
    of_all_processes,
    train_step,
)
from ecl.apis import load_config
from ecl.registry import MODELS


def test_rates_of_processes_add_up():
    fast, slow = [Reading(0.5, 0.4)] * 3, [Reading(2.0, 0.4)] * 3
    both = of_all_processes([fast, slow])
    apart = median_rate(fast, 10, 'wall') + median_rate(slow, 10, 'wall')
    assert len(both) == 3
    assert median_rate(both, 2 * 10, 'wall') == pytest.approx(apart)
    assert median_rate(both, 2 * 10, 'cpu') == pytest.approx(2 * 25)


def test_one_process_is_itself():
    readings = [Reading(0.5, 0.25), Reading(1.0, 0.75)]
    assert of_all_processes([readings]) == readings


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=0.0)
    for module in (_timing,):
        monkeypatch.setattr(module.time, 'perf_counter', lambda: clock.now)
    monkeypatch.setattr(_timing.time, 'process_time', lambda: clock.now / 2)
    return clock


@pytest.mark.parametrize('num_workers', [0, 2])
def test_the_loops_take_turns_and_each_is_timed_alone(clock, num_workers):
    calls = []

    def other():
        calls.append(clock.now)
        clock.now += 5

    loader = SimpleNamespace(num_workers=num_workers, prefetch_factor=2 if num_workers else None)
    runner = SimpleNamespace(train_dataloader=loader, model=torch.nn.Linear(1, 1))
    hook = InterleaveHook(lambda runner, batch: {'other': other}, steps=4, repeats=3)
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    steps = 0
    with pytest.raises(Enough):
        while True:
            clock.now += 1  # the loader
            hook.before_train_iter(runner, steps)
            clock.now += 3  # the step
            steps += 1
            hook.after_train_iter(runner, steps, data_batch={})
    assert hook.start_up == 4
    assert [reading.wall for reading in hook.readings['runner']] == [4, 4, 4]
    assert [reading.cpu for reading in hook.readings['other']] == [2.5, 2.5, 2.5]
    assert hook.waiting == [0.25, 0.25, 0.25]
    assert len(calls) == 1 + 3 * 4
    # Steps whose batches lay ready, one more, and those of the window: four times.
    assert steps == 4 * (2 * num_workers + 1 + 4)


def test_alone_a_process_knows_of_no_others(monkeypatch):
    monkeypatch.setattr('mmengine.dist.utils.is_distributed', lambda: True)
    monkeypatch.setattr('mmengine.dist.utils.torch_dist.get_world_size', lambda group: 2)
    monkeypatch.setattr('mmengine.dist.utils.get_default_group', lambda: None)
    assert get_world_size() == 2
    with _timing.alone():
        assert get_world_size() == 1
    assert get_world_size() == 2


DIGITS = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'


@pytest.fixture
def cfg():
    init_default_scope('ecl')
    return load_config(DIGITS)


@pytest.fixture
def model(cfg):
    torch.manual_seed(0)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(10, 0, -1))
    return model.train()


@pytest.fixture
def batch() -> dict:
    views = [torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8) for _ in range(2)]
    return {'inputs': views, 'data_samples': [DataSample().set_gt_label(i % 10) for i in range(16)]}


def test_the_bare_step_updates_the_model_as_the_engine_does(cfg, model, batch):
    bare = deepcopy(model)
    packed = bare.data_preprocessor(batch, training=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    optimizer = build_optim_wrapper(bare, cfg.optim_wrapper).optimizer
    for _ in range(2):
        model.train_step(batch, wrapper)
        with_precision = lambda: wrapper.optim_context(model)  # noqa: E731
        train_step(bare, optimizer, packed['inputs'], packed['data_samples'], with_precision)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(bare.state_dict()[name], value, rtol=0, atol=0)


def test_loops_leave_the_model_alone(cfg, model, batch):
    before = deepcopy(model.state_dict())
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    loops = build_loops(
        model, wrapper, batch, lambda copy: build_optim_wrapper(copy, cfg.optim_wrapper).optimizer
    )
    assert list(loops) == ['bare', 'experts', 'momentum', 'reference']
    for step in loops.values():
        step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(before[name], value, rtol=0, atol=0)


def test_a_model_without_contrast_has_one_view_and_no_momentum_encoder(cfg, batch):
    plain = {key: value for key, value in cfg.model.items() if key != 'contrast'}
    model = MODELS.build({**plain, 'data_preprocessor': cfg.data_preprocessor}).train()
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(10, 0, -1))
    batch = {**batch, 'inputs': batch['inputs'][0]}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    loops = build_loops(
        model, wrapper, batch, lambda copy: build_optim_wrapper(copy, cfg.optim_wrapper).optimizer
    )
    assert list(loops) == ['bare', 'experts', 'reference']
    for step in loops.values():
        step()


def test_views_keep_size_and_vary():
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    views = PILViews(images, num_views=2)
    first, second = views(), views()
    assert [view.shape for view in first] == [(3, 3, 16, 16)] * 2
    assert all(view.dtype == torch.float32 for view in first)
    assert not torch.equal(first[0], second[0])


def test_one_view_for_a_model_without_contrast():
    assert len(PILViews(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), num_views=1)()) == 1

from types import SimpleNamespace

import pytest
import torch
from mmengine.dist import get_world_size

import _timing
from _timing import Enough, InterleaveHook, Reading, median_rate, of_all_processes


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

"""The benchmark does what it says; how fast this machine is, no test asks."""

import json
from pathlib import Path

import pytest

from ecl.apis.benchmark import benchmark_step
from ecl.apis.benchmark.table import show
from ecl.errors import UserError

DIGITS = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'
LOOPS = {'runner', 'bare', 'experts', 'momentum', 'reference'}


@pytest.fixture(scope='module')
def result() -> dict:
    """Windows longer than an epoch of 13 batches, so that they span its end."""
    return benchmark_step(DIGITS, steps=14, repeats=2, eval_images=300)


def test_every_loop_is_timed_by_both_clocks(result):
    for rates in (result['images_per_s'], result['cpu_images_per_s']):
        assert set(rates) == LOOPS
        assert all(rate > 0 for rate in rates.values())


def test_training_contains_the_networks_and_waits_for_part_of_its_time(result):
    assert 0 < result['cpu_networks_share'] < 1
    assert 0 < result['data_waiting'] < 1


def test_the_rest_is_measured_too(result):
    assert (result['batch_size'], result['processes']) == (32, 1)
    assert result['peak_memory_mb'] > 50
    assert result['start_up_s'] > 0
    assert result['evaluation_images_per_s'] > 0
    assert result['machine']['device'] == 'CPU'


def test_the_result_is_json_and_a_table(result):
    assert json.loads(json.dumps(result)) == result
    table = show(result)
    assert f'{result["ratio"]:.2f}' in table
    assert 'momentum encoder forward' in table


def test_a_training_too_short_to_be_timed_is_one_line():
    with pytest.raises(UserError, match='the training ended before 7 x 10'):
        benchmark_step(DIGITS, cfg_options={'train_cfg.max_epochs': 1})


def test_windows_without_steps_are_refused():
    with pytest.raises(UserError, match='must be at least 1, not 0 and 7'):
        benchmark_step(DIGITS, steps=0)

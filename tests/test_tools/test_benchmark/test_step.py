"""The benchmark does what it says; no test asserts how fast this machine is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ecl.errors import UserError
from step import benchmark_step, show

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


def test_the_networks_and_the_waiting_are_shares(result):
    assert result['cpu_networks_share'] > 0
    assert result['data_waiting'] > 0


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


def test_a_method_with_views_and_no_momentum_encoder():
    result = benchmark_step('bcl_r8_digits-lt', steps=1, repeats=1, eval_images=0)
    assert set(result['images_per_s']) == LOOPS - {'momentum'}


def test_windows_without_steps_are_refused():
    with pytest.raises(UserError, match='must be at least 1, not 0 and 7'):
        benchmark_step(DIGITS, steps=0)


@pytest.fixture
def tool(load_tool, monkeypatch):
    tool = load_tool('benchmark/step')
    tool.calls = []
    monkeypatch.setattr(tool, 'benchmark_step', lambda **a: tool.calls.append(a) or {'ratio': 0.9})
    monkeypatch.setattr(tool, 'show', str)
    return tool


def test_arguments_reach_the_benchmark_and_the_result_the_file(tool, tmp_path):
    out = tmp_path / 'a.json'
    tool.main(['a.py', '--steps', '3', '--amp', '--json', str(out), '--cfg-options', 'a.b=1'])
    assert tool.calls == [
        dict(
            config='a.py',
            steps=3,
            repeats=7,
            eval_images=2000,
            amp=True,
            launcher='none',
            cfg_options={'a.b': 1},
        )
    ]
    assert json.loads(out.read_text()) == {'ratio': 0.9}


def test_a_file_that_cannot_be_written_is_told_before_the_work(tool, tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        tool.main(['a.py', '--json', str(tmp_path / 'none' / 'a.json')])
    assert not tool.calls


def test_two_processes_train_together_and_one_reports(tools, digits_config, environment, tmp_path):
    out = tmp_path / 'two.json'
    command = [sys.executable, tools / '_torchrun.py', '--standalone', '--nproc_per_node', '2']
    command += [tools / 'benchmark' / 'step.py', digits_config, '--launcher', 'pytorch']
    command += ['--steps', '2', '--repeats', '1', '--eval-images', '0', '--json', out]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count('batch 32 in each of 2 processes') == 1
    measured = json.loads(out.read_text())
    assert measured['processes'] == 2
    assert measured['ratio'] > 0

import json
import subprocess
import sys

import pytest

from ecl.errors import UserError


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

import json

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
        dict(config='a.py', steps=3, repeats=7, eval_images=2000, amp=True, cfg_options={'a.b': 1})
    ]
    assert json.loads(out.read_text()) == {'ratio': 0.9}


def test_a_file_that_cannot_be_written_is_told_before_the_work(tool, tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        tool.main(['a.py', '--json', str(tmp_path / 'none' / 'a.json')])
    assert not tool.calls

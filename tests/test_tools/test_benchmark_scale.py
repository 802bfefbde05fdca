import json

import pytest
from matplotlib.figure import Figure

from ecl.errors import UserError


@pytest.fixture
def tool(load_tool, monkeypatch):
    tool = load_tool('benchmark/scale')
    monkeypatch.setattr(tool, 'benchmark_scale', lambda config, repeats: {'of': [config, repeats]})
    monkeypatch.setattr(tool, 'benchmark_losses', lambda config: {'of': config})
    monkeypatch.setattr(tool, 'draw_scale', lambda result: Figure())
    return tool


def test_measurements_and_picture_are_written(tool, tmp_path):
    tool.main(['a.py', '--out', str(tmp_path / 'x'), '--repeats', '2', '--losses', 'b.py'])
    assert json.loads((tmp_path / 'x.json').read_text()) == {
        'of': ['a.py', 2],
        'losses': {'of': 'b.py'},
    }
    assert (tmp_path / 'x.png').stat().st_size > 100


def test_a_folder_that_does_not_exist_is_told_before_the_work(tool, tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        tool.main(['a.py', '--out', str(tmp_path / 'none' / 'x')])

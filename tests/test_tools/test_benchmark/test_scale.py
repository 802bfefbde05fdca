import json
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from mmcv.cnn import fuse_conv_bn

from ecl.apis import load_config
from ecl.errors import UserError
from scale import LABELS, _model, benchmark_losses, benchmark_scale, draw_scale

CONFIG = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'


def test_every_size_is_timed_and_drawn():
    axes = {
        'experts': (1, 2),
        'classes': (10, 50),
        'batch': (8,),
        'image': (32, 64),
        'queue': (64,),
    }
    result = benchmark_scale(CONFIG, axes, repeats=1, batch=8)
    times = result['milliseconds']
    assert {axis: tuple(values) for axis, values in times.items()} == axes
    assert all(time > 0 for values in times.values() for time in values.values())
    assert len(result['prediction']) == 8
    panels = draw_scale(result).axes
    assert [panel.get_xlabel() for panel in panels] == [LABELS.get(axis, axis) for axis in axes]
    assert panels[0].lines[0].get_ydata() == pytest.approx(list(times['experts'].values()))


def test_folded_batch_norm_predicts_the_same():
    model = _model(load_config(CONFIG)).train()
    images = torch.randn(16, 3, 8, 8)
    model(images)  # running statistics other than 0 and 1
    model.eval()
    expected = model(images)
    folded = fuse_conv_bn(model)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.backbone.modules())
    torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-4)


def test_losses_are_timed_at_every_batch():
    result = benchmark_losses(CONFIG, batches=(4, 32), size=32, repeats=2)
    assert result['classes'] == 10
    assert list(result['batches']) == [4, 32]
    for times in result['batches'].values():
        assert min(times['losses'], times['classifiers'], times['step']) > 0
        assert times['share'] == pytest.approx(times['losses'] / times['step'])


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

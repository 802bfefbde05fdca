from pathlib import Path

import pytest
import torch
from mmcv.cnn import fuse_conv_bn

from ecl.apis import load_config
from ecl.apis.benchmark.scale import _model, benchmark_scale, draw_scale

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
    assert [panel.get_xlabel() for panel in panels] == list(axes)
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

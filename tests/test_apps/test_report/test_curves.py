import json

import numpy as np
import pytest

from ecl.apps.report.curves import accuracy_curves, loss_curves, read_scalars, training_curves


def _write(work_dir, start, lines, tail=''):
    path = work_dir / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(line) for line in lines) + tail)


def _step(step, epoch, loss):
    return dict(loss=loss, label_loss=loss - 1, distill_loss=1.0, step=step, epoch=epoch)


FIRST = [_step(5, 1, 9.0), _step(10, 1, 7.0), {'shot/overall': 40.0, 'step': 1}, _step(15, 2, 6.0)]


@pytest.fixture
def work_dir(tmp_path):
    _write(tmp_path, '20260101_000000', FIRST, tail='\n{"loss": 5.0, "st')
    return tmp_path


def test_losses_are_averaged_over_an_epoch(work_dir):
    curves = loss_curves(read_scalars(work_dir))
    assert list(curves) == ['total', 'label', 'distill']
    epochs, values = curves['total']
    assert (epochs.tolist(), values.tolist()) == ([1, 2], [8, 6])


def test_a_resume_replaces_what_it_repeats(work_dir):
    again = [_step(15, 2, 5.0), {'shot/overall': 50.0, 'shot/few': 20.0, 'step': 2}]
    _write(work_dir, '20260101_010000', again)
    lines = read_scalars(work_dir)
    assert loss_curves(lines)['total'][1].tolist() == [8, 5]
    curves = accuracy_curves(lines)
    assert curves['overall'][1].tolist() == [40, 50]
    assert (curves['few'][0].tolist(), curves['few'][1].tolist()) == ([2], [20])


def test_a_new_start_replaces_everything(work_dir):
    _write(work_dir, '20260101_010000', [_step(5, 1, 3.0)])
    lines = read_scalars(work_dir)
    assert loss_curves(lines)['total'][1].tolist() == [3]
    assert accuracy_curves(lines) == {}


def test_a_test_leaves_the_curves_alone(work_dir):
    _write(work_dir, '20260101_010000', [{'shot/overall': 1.0, 'step': 0}])
    assert accuracy_curves(read_scalars(work_dir))['overall'][1].tolist() == [40]


def test_a_single_part_is_not_drawn_beside_its_sum(tmp_path):
    _write(tmp_path, '20260101_000000', [dict(loss=2.0, label_loss=2.0, step=1)])
    assert list(loss_curves(read_scalars(tmp_path))) == ['total']


def test_without_a_log_there_are_no_curves(tmp_path):
    assert loss_curves(read_scalars(tmp_path)) == {}


def test_each_line_has_its_values_and_its_own_look():
    series = {
        'overall': ([20, 40, 60], [50.0, 60.0, 70.0]),
        'many': ([20, 40, 60], [70.0, 80.0, 85.0]),
        'few': ([20, 40, 60], [10.0, 30.0, 40.0]),
    }
    (axes,) = training_curves(series, 'accuracy (%)').axes
    lines = {line.get_label(): line for line in axes.lines}
    for name, (epochs, values) in series.items():
        assert np.array_equal(lines[name].get_xdata(), epochs)
        assert np.array_equal(lines[name].get_ydata(), values)
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 3
    assert {20, 40, 60} <= set(axes.get_xticks())


def test_lines_without_colour_of_their_own_differ_in_their_dashes():
    series = {f'loss {index}': ([1, 2, 3], [3.0, 2.0, 1.0]) for index in range(6)}
    (axes,) = training_curves(series, 'loss', yscale='log').axes
    assert axes.get_yscale() == 'log'
    assert len({str(line._dash_pattern) for line in axes.lines}) == 6


def test_a_single_point_is_visible():
    (axes,) = training_curves({'overall': ([3], [50.0])}, 'accuracy (%)').axes
    assert axes.lines[0].get_marker() not in (None, 'None', '')

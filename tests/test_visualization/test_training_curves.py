import numpy as np

from ecl.visualization import training_curves


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

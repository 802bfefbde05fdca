import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from ecl.visualization import accuracy_change, class_accuracy, class_distribution
from ecl.visualization.classes import GROUP_COLOURS


def _bars(axes):
    """(height, colour) of the bars from left to right."""
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    return [(bar.get_height(), to_hex(bar.get_facecolor()).upper()) for bar in bars]


def test_classes_are_sorted_and_coloured_by_group_and_tests_stand_below():
    figure = class_distribution([5, 500, 50], [7, 8, 9], names=['a', 'b', 'c'])
    many, medium, few = GROUP_COLOURS.values()
    assert _bars(figure.axes[0]) == [(500, many), (50, medium), (5, few)]
    assert _bars(figure.axes[1]) == [(8, many), (9, medium), (7, few)]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ['b', 'c', 'a']
    assert figure.axes[0].get_title() == '555 training images in 3 classes, imbalance factor 100'
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[0] == 'many-shot: 1 class, 500 images'


@pytest.mark.parametrize(('name', 'rotation'), [('7', 0), ('American crow', 60)])
def test_names_of_classes_are_turned_only_if_they_are_long(name, rotation):
    (axes,) = class_distribution(range(10, 0, -1), names=[name] * 10).axes
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}
    assert axes.get_xlabel() == 'class, most training images first'


def test_many_classes_have_no_names_and_one_panel_without_tests():
    counts = np.geomspace(1000, 2, 8142).astype(int)
    figure = class_distribution(counts, names=[str(i) for i in range(8142)])
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == 'classes, sorted by training images'
    heights = np.concatenate([patch.get_data().values for patch in figure.axes[0].patches])
    assert heights.tolist() == sorted(counts.tolist(), reverse=True)
    edges = [patch.get_data().edges for patch in figure.axes[0].patches]
    assert [(edge[0], edge[-1]) for edge in edges] == [
        (-0.5 + (counts > high).sum(), -0.5 + (counts >= low).sum())
        for low, high in ((101, 10**6), (20, 100), (0, 19))
    ]


@pytest.mark.parametrize('counts', [[3], [0, 4], [9, 9]])
def test_few_classes_and_empty_ones_are_drawn(tmp_path, counts):
    class_distribution(counts, counts, names=['x' * 60] * len(counts)).savefig(tmp_path / 'a.png')
    assert (tmp_path / 'a.png').stat().st_size > 1000


COUNTS = [500, 50, 5, 200]
ACCURACIES = np.array([90.0, 60.0, np.nan, 70.0])


def test_points_are_classes_at_their_counts_by_group():
    (axes,) = class_accuracy(ACCURACIES, COUNTS).axes
    points = {c.get_label(): c.get_offsets() for c in axes.collections if len(c.get_offsets())}
    many = points['many (80.0)']
    assert sorted(map(tuple, many.tolist())) == [(200, 70), (500, 90)]
    assert points['medium (60.0)'].tolist() == [[50, 60]]


def test_an_untested_group_is_left_out():
    figure = class_accuracy(ACCURACIES, COUNTS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ['many (80.0)', 'medium (60.0)']


def test_lines_are_the_means_of_the_groups():
    (axes,) = class_accuracy(ACCURACIES, COUNTS).axes
    levels = [c.get_segments()[0][0][1] for c in axes.collections if hasattr(c, 'get_segments')]
    assert levels == pytest.approx([80, 60])


@pytest.mark.parametrize(('repeats', 'named'), [(1, 3), (4, 0)])
def test_names_are_written_where_there_is_room(repeats, named):
    counts = COUNTS * repeats
    names = [f'class {index}' for index in range(len(counts))]
    (axes,) = class_accuracy(np.tile(ACCURACIES, repeats), counts, names).axes
    assert len(axes.texts) == named


def test_names_stay_clear_of_the_axis():
    figure = class_accuracy(np.array([0.0, 100.0]), [5, 50], ['none', 'all'])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(axes.bbox.y0 < box.y0 and box.y1 < axes.bbox.y1 for box in boxes)


def test_a_change_of_accuracy_goes_from_the_first_method_to_the_second():
    before, after = np.array([10.0, 90.0, 50.0]), np.array([40.0, 85.0, np.nan])
    figure = accuracy_change(before, after, [3, 500, 50], ('A', 'B'), ['rare', 'common', 'some'])
    (axes,) = figure.axes
    assert axes.get_title() == 'A (hollow) and B (filled)'
    assert [label.get_text() for label in axes.get_xticklabels()] == ['common', 'some', 'rare']
    points = {line.get_fillstyle(): line for line in axes.lines[-2:]}  # of the few-shot class
    assert points['none'].get_xydata().tolist() == [[2, 10]]
    assert points['full'].get_xydata().tolist() == [[2, 40]]
    (legend,) = figure.legends
    # No class of the medium-shot group was tested.
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == ['many-shot: 90 to 85 %', 'few-shot: 10 to 40 %']

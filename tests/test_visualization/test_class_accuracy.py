import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ecl.visualization import class_accuracy

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

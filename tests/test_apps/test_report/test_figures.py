import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix as reference

from ecl.apps.report.figures import (
    agreement_matrix,
    confusing_classes,
    confusion_matrix,
    embed,
    experts_right,
    feature_map,
    reliability_diagram,
)

RNG = np.random.default_rng(0)


def test_matrix_is_the_share_of_equal_predictions():
    predictions = RNG.integers(0, 3, size=(3, 40))
    (axes,) = agreement_matrix(predictions, ['ensemble', 'expert 0', 'expert 1']).axes
    (image,) = axes.get_images()
    shown = np.asarray(image.get_array())
    for a in range(3):
        for b in range(3):
            equal = sum(predictions[a, i] == predictions[b, i] for i in range(40))
            assert shown[a, b] == pytest.approx(100 * equal / 40)
    assert np.diag(shown) == pytest.approx([100] * 3)


def test_bars_split_all_images_of_each_group():
    labels = RNG.integers(0, 4, size=60)
    right = RNG.random((3, 60)) < 0.6
    groups = {'many': np.array([0, 1]), 'few': np.array([3])}
    (axes,) = experts_right(right, labels, groups).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ['all', 'many', 'few']
    widths = np.array([[bar.get_width() for bar in bars] for bars in axes.containers])
    assert widths.sum(axis=0) == pytest.approx([100] * 3)
    few = right[:, labels == 3]
    assert widths[0, 2] == pytest.approx(100 * few.all(axis=0).mean())
    assert widths[2, 2] == pytest.approx(100 * (~few.any(axis=0)).mean())


def test_a_group_without_test_images_has_no_bar():
    right = np.ones((2, 5), dtype=bool)
    groups = {'many': np.array([0]), 'few': np.array([1])}
    (axes,) = experts_right(right, np.zeros(5, dtype=int), groups).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ['all', 'many']


RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(6), 20)
NAMES = [f'class {label}' for label in range(6)]
PREDICTIONS = np.where(RNG.random(120) < 0.6, LABELS, RNG.integers(0, 6, 120))


def test_the_worst_class_comes_first_beside_what_it_is_mistaken_for():
    right = [(PREDICTIONS[label == LABELS] == label).mean() for label in range(6)]
    classes = confusing_classes(LABELS, PREDICTIONS, size=4)
    assert classes[0] == np.argmin(right)
    row = reference(LABELS, PREDICTIONS)[classes[0]]
    row[classes[0]] = 0
    assert row[classes[1]] == row.max()
    assert len(set(classes.tolist())) == len(classes) == 4


def test_without_a_mistake_there_are_no_classes():
    assert confusing_classes(LABELS, LABELS).size == 0


def test_untested_classes_are_not_called_the_worst():
    labels, predictions = np.array([0, 0, 2]), np.array([0, 2, 2])
    assert confusing_classes(labels, predictions).tolist() == [0, 2]


def test_cells_are_percent_of_the_true_class_and_rows_add_up():
    classes = np.array([4, 1, 2])
    (axes,) = confusion_matrix(LABELS, PREDICTIONS, classes, NAMES).axes
    shown = np.asarray(axes.get_images()[0].get_array())
    expected = 100 * reference(LABELS, PREDICTIONS, normalize='true')
    assert shown[:, :3] == pytest.approx(expected[np.ix_(classes, classes)])
    assert shown.sum(axis=1) == pytest.approx([100] * 3)
    columns = [tick.get_text() for tick in axes.get_xticklabels()]
    assert columns == ['class 4', 'class 1', 'class 2', 'others']


def test_a_class_that_only_others_are_mistaken_for_has_an_empty_row():
    (axes,) = confusion_matrix(np.array([0]), np.array([1]), np.array([0, 1]), NAMES).axes
    shown = np.asarray(axes.get_images()[0].get_array())
    assert shown.tolist() == [[0, 100], [0, 0]]


def test_bars_are_the_accuracies_of_the_bins():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 400)
    right = rng.random(400) < confidence
    above, below = reliability_diagram(confidence, right, bins=10).axes
    expected, _ = calibration_curve(right, confidence, n_bins=10)
    heights = [bar.get_height() for bar in above.containers[0]]
    assert heights == pytest.approx(expected.tolist())
    assert sum(bar.get_height() for bar in below.containers[0]) == pytest.approx(100)


def test_certainty_belongs_to_the_last_bin():
    above, below = reliability_diagram(np.array([1.0, 1.0]), np.array([True, False]), 5).axes
    (bar,) = above.containers[0]
    assert bar.get_height() == 0.5
    assert [bar.get_height() for bar in below.containers[0]] == [0, 0, 0, 0, 100]


POINT_LABELS = np.repeat([0, 1, 2], 20)
CENTRES = 10 * np.eye(3, 80)
FEATURES = CENTRES[POINT_LABELS] + np.random.default_rng(0).normal(scale=0.1, size=(60, 80))


@pytest.fixture(scope='module')
def places():
    return embed(FEATURES)


def test_near_features_are_placed_near_each_other(places):
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(POINT_LABELS[distance.argmin(axis=1)], POINT_LABELS)


def test_places_repeat(places):
    assert np.array_equal(embed(FEATURES), places)


@pytest.mark.parametrize('size', [1, 2, 3, 5])
def test_few_images_are_placed_too(size):
    assert embed(FEATURES[:size]).shape == (size, 2)


def test_points_have_their_group_and_classes_their_name(places):
    figure = feature_map(places, POINT_LABELS, [500, 5, 6], ['owl', 'bat', 'cat'])
    (axes,) = figure.axes
    sizes = {points.get_label(): len(points.get_offsets()) for points in axes.collections}
    assert sizes == {'many': 20, 'few': 40}
    assert [text.get_text() for text in axes.texts] == ['owl', 'bat', 'cat']
    assert axes.texts[0].get_position() == pytest.approx(tuple(np.median(places[:20], axis=0)))

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as reference

from ecl.visualization import confusing_classes, confusion_matrix

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

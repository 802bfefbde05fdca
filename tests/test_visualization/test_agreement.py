import numpy as np
import pytest

from ecl.visualization import agreement_matrix, experts_right

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

import io

import numpy as np
import pytest

from ecl.visualization import weight_heatmap

COUNTS = [10, 200, 50, 30]


def image_of(figure):
    (image,) = figure.axes[0].get_images()
    return image


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_rows_are_classes_by_count_and_columns_epochs_averaged_over_experts():
    weights = np.random.default_rng(0).uniform(0.8, 1.25, size=(6, 2, 4)).astype(np.float32)
    weights[:, 0, 1], weights[:, 1, 1] = 0.9, 1.1
    shown = image_of(weight_heatmap(weights, COUNTS)).get_array()
    assert shown.shape == (4, 6)
    assert np.asarray(shown[0]) == pytest.approx(np.ones(6))
    # Only the ends are clipped, to the 99th percentile.
    assert np.asarray(shown[3]) == pytest.approx(weights[:, :, 0].mean(axis=1), rel=0.05)


def test_weight_one_has_the_middle_colour_and_inverse_weights_mirror():
    weights = np.ones((1, 1, 4))
    weights[0, 0, :2] = 2.0, 0.5
    image = image_of(weight_heatmap(weights, COUNTS))
    assert image.norm(1.0) == pytest.approx(0.5)
    assert image.norm(2.0) - 0.5 == pytest.approx(0.5 - image.norm(0.5))


def test_unseen_is_masked_zero_is_not():
    weights = np.ones((2, 2, 4))
    weights[0, :, 1] = np.nan
    weights[1, 0, 1] = np.nan
    weights[1, :, 2] = 0
    shown = image_of(weight_heatmap(weights, COUNTS)).get_array()
    assert np.argwhere(np.ma.getmaskarray(shown)).tolist() == [[0, 0]]
    assert shown[0, 1] == pytest.approx(1.0)


def test_groups_are_named_with_their_sizes_and_divided():
    figure = weight_heatmap(np.ones((3, 2, 4)), COUNTS)
    assert texts_of(figure) == ['many\n1 class', 'medium\n2 classes', 'few\n1 class']
    assert [line.get_ydata()[0] for line in figure.axes[0].lines] == [0.5, 2.5]


def test_names_of_tiny_groups_do_not_overlap():
    counts = [500] * 997 + [50, 5, 5]
    figure = weight_heatmap(np.ones((3, 1, 1000)), counts)
    heights = [text.get_position()[1] for text in figure.axes[0].texts]
    assert all(-1e-9 <= height <= 1 for height in heights)
    assert np.diff(heights).max() < -0.05


@pytest.mark.parametrize('num_epochs, num_classes', [(1, 2), (5, 10), (400, 1000)])
def test_saves_at_any_size(num_epochs, num_classes):
    weights = np.full((num_epochs, 3, num_classes), np.nan)
    file = io.BytesIO()
    weight_heatmap(weights, range(num_classes)).savefig(file, format='png')
    assert file.getvalue().startswith(b'\x89PNG')

import numpy as np
import pytest

from ecl.apps.report.feature_map import embed, feature_map

LABELS = np.repeat([0, 1, 2], 20)
CENTRES = 10 * np.eye(3, 80)
FEATURES = CENTRES[LABELS] + np.random.default_rng(0).normal(scale=0.1, size=(60, 80))


@pytest.fixture(scope='module')
def places():
    return embed(FEATURES)


def test_near_features_are_placed_near_each_other(places):
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(LABELS[distance.argmin(axis=1)], LABELS)


def test_places_repeat(places):
    assert np.array_equal(embed(FEATURES), places)


@pytest.mark.parametrize('size', [1, 2, 3, 5])
def test_few_images_are_placed_too(size):
    assert embed(FEATURES[:size]).shape == (size, 2)


def test_points_have_their_group_and_classes_their_name(places):
    figure = feature_map(places, LABELS, [500, 5, 6], ['owl', 'bat', 'cat'])
    (axes,) = figure.axes
    sizes = {points.get_label(): len(points.get_offsets()) for points in axes.collections}
    assert sizes == {'many': 20, 'few': 40}
    assert [text.get_text() for text in axes.texts] == ['owl', 'bat', 'cat']
    assert axes.texts[0].get_position() == pytest.approx(tuple(np.median(places[:20], axis=0)))

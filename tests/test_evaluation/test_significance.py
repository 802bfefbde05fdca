import numpy as np
import pytest
from scipy.stats import chi2, ttest_1samp

from ecl.evaluation import Predictions, between_networks, between_seeds


def test_seeds_by_the_formula_of_welch():
    first, second = [60.0, 61.0, 62.0], [63.0, 65.0, 64.0, 66.0]
    difference = between_seeds(first, second)
    assert difference.value == pytest.approx(3.5)
    # Standard error of the difference of the means, and a t-quantile from a table (4.98 degrees).
    error = np.sqrt(np.var(first, ddof=1) / 3 + np.var(second, ddof=1) / 4)
    low, high = difference.interval
    assert (low + high) / 2 == pytest.approx(3.5)
    assert (high - low) / 2 == pytest.approx(2.57 * error, rel=0.01)
    assert 0.005 < difference.p < 0.02


@pytest.mark.parametrize(
    ('first', 'second'), [([60.0], [61.0, 62.0]), ([60.0, 60.0], [61.0, 61.0])]
)
def test_without_a_spread_nothing_is_said(first, second):
    difference = between_seeds(first, second)
    assert (difference.p, difference.interval) == (None, None)
    assert difference.value > 0


@pytest.mark.filterwarnings('error')
def test_one_method_without_a_spread_is_a_value_to_test_the_other_against():
    second = [63.0, 65.0, 64.0, 66.0]
    difference = between_seeds([60.0] * 3, second)
    expected = ttest_1samp(second, 60.0)
    low, high = expected.confidence_interval(0.95)
    assert difference.p == pytest.approx(expected.pvalue)
    assert difference.interval == pytest.approx((low - 60, high - 60))


def test_chance_alone_is_significant_one_time_in_twenty():
    rng = np.random.default_rng(0)
    values = rng.normal(60, 1, (600, 2, 5))
    found = np.mean([between_seeds(one, two).p < 0.05 for one, two in values])
    assert found == pytest.approx(0.05, abs=0.025)


def _predictions(right):
    labels = np.zeros(len(right), dtype=np.int64)
    expert = np.ones(len(right), dtype=np.int64)  # never right
    predicted = np.stack([np.where(right, 0, 1), expert])
    return Predictions([''] * len(right), labels, predicted, np.ones(predicted.shape))


def test_networks_by_the_images_that_only_one_has_right():
    first, second = np.zeros((2, 1000), dtype=bool)
    first[:340], second[40:400] = True, True  # 40 that only the first has right, 60 the second
    difference = between_networks(2.0, *map(_predictions, (first, second)), np.ones(1000, bool))
    # The usual approximation, with correction for continuity.
    assert difference.p == pytest.approx(chi2.sf((60 - 40 - 1) ** 2 / 100, 1), rel=0.02)
    half = np.arange(1000) < 340
    assert between_networks(0, *map(_predictions, (first, second)), half).p < 1e-6


def test_equal_networks_do_not_differ():
    right = np.array([True, False, True])
    same = between_networks(0.0, _predictions(right), _predictions(right), np.ones(3, bool))
    assert same.p == 1

"""Tests of predicted images and confidence per class."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import linregress

from ecl.evaluation import Predictions
from ecl.evaluation.prediction_share import PredictionShare, linear_trend, slope, thirds


@pytest.fixture
def predictions():
    """Six test images of three classes, predicted by an ensemble and one expert."""
    return Predictions(
        paths=[''] * 6,
        labels=np.array([0, 0, 1, 1, 2, 2]),
        predicted=np.array([[0, 1, 1, 1, 1, 2], [0, 0, 1, 1, 2, 2]]),
        confidence=np.array([[0.5, 0.9, 0.8, 1.0, 0.6, 0.4], [1, 1, 1, 1, 1, 1]], np.float32),
    )


def test_values_by_hand(predictions):
    found = PredictionShare.of(predictions, [5, 50, 10])  # ranks: class 1, 2, 0
    np.testing.assert_allclose(found.share, [200, 50, 50])
    np.testing.assert_allclose(found.confidence, [0.9, 0.5, 0.7], rtol=1e-6)
    assert found.summary() == pytest.approx(
        {
            'share_slope': -75,
            'share_thirds': pytest.approx([200, 50, 50]),
            'confidence_slope': pytest.approx(-0.1),
            'confidence_thirds': pytest.approx([0.9, 0.5, 0.7]),
        }
    )


def test_a_correct_predictor_is_balanced(predictions):
    correct = replace(predictions, predicted=predictions.labels[None])
    found = PredictionShare.of(correct, [5, 50, 10])
    np.testing.assert_allclose(found.share, 100)
    assert slope(found.share) == pytest.approx(0)


def test_a_correct_predictor_is_balanced_on_long_tailed_test_data(predictions):
    labels = np.repeat([0, 1, 2], [3, 2, 1])
    correct = replace(predictions, labels=labels, predicted=labels[None])
    np.testing.assert_allclose(PredictionShare.of(correct, [50, 10, 5]).share, 100)


def test_the_mean_of_trainings_is_taken_class_by_class():
    one = PredictionShare(np.array([200.0, 50, 50]), np.array([0.9, 0.5, 0.7]))
    other = PredictionShare(np.array([100.0, 150, 50]), np.array([0.7, 0.7, 0.8]))
    mean = PredictionShare.mean([one, other])
    np.testing.assert_allclose(mean.share, [150, 100, 50])
    np.testing.assert_allclose(mean.confidence, [0.8, 0.6, 0.75])


def test_equal_counts_rank_by_label(predictions):
    np.testing.assert_allclose(PredictionShare.of(predictions, [7, 7, 7]).share, [50, 200, 50])


def test_a_class_without_test_images_has_no_value(predictions):
    found = PredictionShare.of(predictions, [4, 3, 2, 1])
    assert np.isnan([found.confidence[3], found.share[3]]).all()
    assert np.isfinite([slope(found.confidence), slope(found.share)]).all()


def test_the_trend_is_that_of_a_linear_regression():
    values = np.random.default_rng(0).normal(size=20)
    values[[3, 11]] = np.nan
    known = ~np.isnan(values)
    expected = linregress(np.flatnonzero(known), values[known])
    assert slope(values) == pytest.approx(expected.slope)
    assert linear_trend(values)[0] == pytest.approx(expected.intercept)


def test_thirds_of_a_hundred_classes_are_33_34_33():
    values = np.repeat([1.0, 2.0, 3.0], [33, 34, 33])
    assert thirds(values) == [1, 2, 3]


def test_a_third_without_values_has_no_mean():
    assert thirds(np.array([4.0, 2.0])) == [4, None, 2]

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ecl.visualization import reliability_diagram


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

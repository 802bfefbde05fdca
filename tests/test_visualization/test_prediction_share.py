"""Tests of the figure of predicted images and confidence per class."""

import numpy as np

from ecl.evaluation.prediction_share import PredictionShare
from ecl.visualization.classes import prediction_share_figure


def test_points_and_trends_are_those_of_the_values():
    falling = PredictionShare(np.array([180.0, 100.0, 20.0]), np.array([0.9, 0.7, 0.5]))
    flat = PredictionShare(np.full(3, 100.0), np.array([0.8, np.nan, 0.8]))
    upper, lower = prediction_share_figure({'a': falling, 'b': flat}).axes
    _, labels = upper.get_legend_handles_labels()
    assert labels == ['a (slope -80)', 'b (slope 0)']
    for axes, curves in ((upper, (falling.share, flat.share)), (lower, (falling.confidence,))):
        for points, line, curve in zip(axes.collections, axes.lines, curves, strict=False):
            np.testing.assert_allclose(points.get_offsets()[:, 1], curve)
            np.testing.assert_allclose(line.get_ydata(), curve, atol=1e-9)


def test_many_methods_have_a_line_each():
    share = PredictionShare(np.array([180.0, 100.0, 20.0]), np.array([0.9, 0.7, 0.5]))
    names = [f'method {number}' for number in range(9)]
    upper, lower = prediction_share_figure(dict.fromkeys(names, share)).axes
    assert len(upper.get_legend_handles_labels()[1]) == len(names)
    assert len(lower.lines) == len(names)

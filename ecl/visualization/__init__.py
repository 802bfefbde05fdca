"""Figures, drawn from plain arrays."""

import mmpretrain.visualization  # noqa: F401

from ecl.visualization.classes import (
    accuracy_change,
    class_accuracy,
    class_distribution,
    prediction_share_figure,
)
from ecl.visualization.heatmap import weight_heatmap
from ecl.visualization.style import font_families

__all__ = [
    'accuracy_change',
    'class_accuracy',
    'class_distribution',
    'font_families',
    'prediction_share_figure',
    'weight_heatmap',
]

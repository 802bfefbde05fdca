"""The figures, drawn from plain arrays."""

import mmpretrain.visualization  # noqa: F401

from .distribution import class_distribution
from .heatmap import weight_heatmap
from .image_sheet import image_sheet

__all__ = ['class_distribution', 'image_sheet', 'weight_heatmap']

"""The figures, drawn from plain arrays."""

import mmpretrain.visualization  # noqa: F401

from .heatmap import weight_heatmap

__all__ = ['weight_heatmap']

"""Metrics for long-tailed recognition, and how their results are shown."""

import mmpretrain.evaluation  # noqa: F401

from .shot_accuracy import ShotAccuracy
from .table import metric_table

__all__ = ['ShotAccuracy', 'metric_table']

"""Metrics for long-tailed recognition, and how their results are shown."""

import mmpretrain.evaluation  # noqa: F401

from .balance import BalanceAccuracy
from .calibration import calibration_errors
from .class_table import class_table
from .distributions import accuracy_by_distribution, accuracy_on_lists, distribution_table
from .predictions import PredictionRecord, Predictions
from .shot_accuracy import ShotAccuracy
from .table import metric_table

__all__ = [
    'BalanceAccuracy',
    'PredictionRecord',
    'Predictions',
    'ShotAccuracy',
    'accuracy_by_distribution',
    'accuracy_on_lists',
    'calibration_errors',
    'class_table',
    'distribution_table',
    'metric_table',
]

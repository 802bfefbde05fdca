"""Metrics for long-tailed recognition, significance tests and tables."""

import mmpretrain.evaluation  # noqa: F401

from ecl.evaluation.distributions import (
    accuracy_by_distribution,
    accuracy_on_lists,
    distribution_table,
)
from ecl.evaluation.metrics import (
    BalanceAccuracy,
    ShotAccuracy,
    calibration_errors,
    shot_accuracy,
)
from ecl.evaluation.prediction_share import PredictionShare
from ecl.evaluation.predictions import (
    Difference,
    PredictionRecord,
    Predictions,
    between_networks,
    between_seeds,
    class_table,
)
from ecl.evaluation.table import (
    accuracy_interval,
    further_line,
    further_metrics,
    interval_line,
    markdown_table,
    metric_table,
)
from ecl.evaluation.thresholds import Acceptance, acceptance, class_thresholds

__all__ = [
    'Acceptance',
    'BalanceAccuracy',
    'Difference',
    'PredictionRecord',
    'PredictionShare',
    'Predictions',
    'ShotAccuracy',
    'acceptance',
    'accuracy_by_distribution',
    'accuracy_interval',
    'accuracy_on_lists',
    'between_networks',
    'between_seeds',
    'calibration_errors',
    'class_table',
    'class_thresholds',
    'distribution_table',
    'further_line',
    'further_metrics',
    'interval_line',
    'markdown_table',
    'metric_table',
    'shot_accuracy',
]

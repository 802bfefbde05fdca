"""The numbers of the headline table."""

import numpy as np

from ecl.apps.report.run import Run
from ecl.evaluation import ShotAccuracy, calibration_errors
from ecl.evaluation.table import ECE


def headline(run: Run) -> dict[str, dict[str, float]]:
    """Accuracies and calibration error of each predictor, in percent.

    Args:
        run: A run.

    Returns:
        By the name of the predictor, the model as a whole first: ``overall``, ``balanced``, those
        of ``many``, ``medium`` and ``few`` that there are, and ``ECE``.
    """
    predictions = run.predictions
    metric = ShotAccuracy(run.thresholds, class_counts=run.class_counts.tolist())
    errors = calibration_errors(predictions)
    rows = {}
    for name, predicted, error in zip(
        predictions.names, predictions.predicted, errors, strict=True
    ):
        accuracies = metric.compute_metrics(np.stack([predictions.labels, predicted], 1).tolist())
        rows[name] = {**accuracies, ECE: float(error)}
    return rows

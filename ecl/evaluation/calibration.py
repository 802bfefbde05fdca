"""Whether a model is as sure as it is right."""

import numpy as np
import torch
from torchmetrics.functional.classification import binary_calibration_error

from ecl.evaluation.predictions import Predictions

#: Bins of equal width.
BINS = 15


def calibration_errors(predictions: Predictions) -> np.ndarray:
    """Expected calibration error of each predictor, in percent, (P,).

    The mean distance of confidence and accuracy over bins of confidence, weighted by their images.

    Args:
        predictions: Of a model.
    """
    # Of the predicted class alone, the binary error is that of all classes.
    errors = [
        binary_calibration_error(torch.from_numpy(sure), torch.from_numpy(right), n_bins=BINS)
        for sure, right in zip(predictions.confidence, predictions.right, strict=True)
    ]
    return 100 * torch.stack(errors).numpy()

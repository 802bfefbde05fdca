"""Test-agnostic evaluation: accuracy under other class distributions of the test data."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecl.datasets.profiles import exponential
from ecl.errors import UserError
from ecl.evaluation.predictions import Predictions
from ecl.evaluation.table import markdown_table
from ecl.settings import Each, Number, validate_params

#: Common imbalance factors of test distributions [lineage: SADE].
IMBALANCE_FACTORS = (50.0, 25.0, 10.0, 5.0, 2.0)


@validate_params(imbalance_factors=Each(Number(at_least=1)))
def accuracy_by_distribution(
    predictions: Predictions,
    class_counts: Sequence[int],
    imbalance_factors: Sequence[float] = IMBALANCE_FACTORS,
) -> dict[str, np.ndarray]:
    """Compute the accuracy under long-tailed, uniform and reversed test distributions.

    The classes, ranked by their training images, are weighted by the exponential profile of an
    imbalance factor. 'forward' gives the largest weight to the largest class, 'backward' to the
    smallest class. The result is the expected accuracy on test sets drawn from these distributions,
    computed from the class accuracies [ours; published test sets are one draw each].

    Args:
        predictions: Predictions for a test set.
        class_counts: Training images of each class, length C.
        imbalance_factors: Each at least 1.

    Returns:
        Percent for each predictor, (P,), under ``forward<factor>`` in descending order,
        ``uniform``, and ``backward<factor>`` in ascending order. Classes without test images are
        left out.

    Raises:
        UserError: If a factor is below 1.
    """
    accuracies = predictions.class_accuracies(len(class_counts))
    tested = np.flatnonzero(~np.isnan(accuracies[0]))
    ranked = tested[np.argsort(-np.asarray(class_counts)[tested], kind='stable')]
    position = np.linspace(0, 1, len(ranked))

    def weighted(classes: np.ndarray, factor: float) -> np.ndarray:
        return np.average(accuracies[:, classes], axis=1, weights=exponential(position, factor))

    falling = sorted(imbalance_factors, reverse=True)
    return {
        **{f'forward{factor:g}': weighted(ranked, factor) for factor in falling},
        'uniform': weighted(ranked, 1),
        **{f'backward{factor:g}': weighted(ranked[::-1], factor) for factor in falling[::-1]},
    }


def accuracy_on_lists(
    predictions: Predictions, lists: Mapping[str, tuple[Sequence[str], Sequence[int]]]
) -> dict[str, np.ndarray]:
    """Compute the accuracy on parts of the test images, such as the public lists.

    Args:
        predictions: Predictions for all test images.
        lists: Files and labels of the images of each list.

    Returns:
        Percent for each predictor, (P,), by list.

    Raises:
        UserError: If an image of a list was not tested, or has another label.
    """
    places = {path: index for index, path in enumerate(predictions.paths)}
    accuracies = {}
    for name, (paths, labels) in lists.items():
        for path, label in zip(paths, labels, strict=True):
            if path not in places:
                raise UserError(f'{name}: {path} is not among the test images')
            if label != predictions.labels[places[path]]:
                raise UserError(f'{name}: {path} has another label than in the test data')
        chosen = [places[path] for path in paths]
        accuracies[name] = 100 * predictions.right[:, chosen].mean(axis=1)
    return accuracies


def distribution_table(names: Sequence[str], accuracies: Mapping[str, np.ndarray]) -> str:
    """Write accuracies by test distribution as a Markdown table.

    Args:
        names: Names of the predictors, length P.
        accuracies: Percent for each predictor by distribution.

    Returns:
        Plain text; one row for each distribution, one column for each predictor.
    """
    frame = pd.DataFrame.from_dict(accuracies, orient='index', columns=list(names))
    return markdown_table(frame.rename_axis('test distribution').reset_index())

"""Accuracy where the classes are not equally frequent in testing: test-agnostic evaluation."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.table import Table

from ecl.datasets.profiles import exponential
from ecl.errors import UserError
from ecl.evaluation.predictions import Predictions
from ecl.evaluation.table import markdown

#: Imbalance factors that the field tests at [lineage: SADE].
IMBALANCE_FACTORS = (50.0, 25.0, 10.0, 5.0, 2.0)


def accuracy_by_distribution(
    predictions: Predictions,
    class_counts: Sequence[int],
    imbalance_factors: Sequence[float] = IMBALANCE_FACTORS,
) -> dict[str, np.ndarray]:
    """Accuracy under test distributions that resemble the training's, are uniform, or its reverse.

    The classes, ranked by their training images, are weighted by the exponential profile of an
    imbalance factor; 'forward' gives the largest weight to the largest class, 'backward' to the
    smallest. What comes out is the expected accuracy on test sets drawn so, from the accuracies of
    the classes and without drawing [ours; published test sets are one draw each].

    Args:
        predictions: For a test set that holds the classes.
        class_counts: Training images of each class, length C.
        imbalance_factors: Each at least 1.

    Returns:
        Percent for each predictor, (P,), under ``forward<factor>``, falling, ``uniform`` and
        ``backward<factor>``, rising. Classes without test images count for nothing.

    Raises:
        UserError: If a factor is below 1.
    """
    for factor in imbalance_factors:
        if not factor >= 1:
            raise UserError(f'an imbalance factor must be at least 1, not {factor:g}')
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
    """Accuracy on parts of the test images, such as the public lists of other distributions.

    Args:
        predictions: For all of the test images.
        lists: Files and labels of the images of each list.

    Returns:
        Percent for each predictor, (P,), by list.

    Raises:
        UserError: If a list names an image that was not tested, or gives it another label.
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
    """Lay out accuracies by test distribution as a Markdown table.

    Args:
        names: Of the predictors, length P.
        accuracies: Percent for each predictor by distribution.

    Returns:
        Plain text; one row for each distribution, one column for each predictor.
    """
    table = Table(box=box.MARKDOWN)
    table.add_column('test distribution')
    for name in names:
        table.add_column(name, justify='right')
    for name, values in accuracies.items():
        table.add_row(name, *(f'{value:.2f}' for value in values))
    return markdown(table, width=200)

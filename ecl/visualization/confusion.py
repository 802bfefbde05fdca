"""Confusion among the classes that a model knows worst."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ecl.visualization.style import SMALL, shaded_cells, short_name


def confusing_classes(labels: np.ndarray, predictions: np.ndarray, size: int = 10) -> np.ndarray:
    """Choose the worst classes and those that they are mistaken for.

    From the lowest accuracy upwards, each class comes with the wrong class that is most often
    predicted for it, until there are ``size`` of them.

    Args:
        labels: True classes, shape (N,).
        predictions: Predicted classes, shape (N,).
        size: How many classes to choose.

    Returns:
        At most ``size`` classes, each next to one that it is confused with. Empty if all images
        are right.

    Example:
        >>> confusing_classes(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2])).tolist()
        [1, 2]
    """
    tested = np.unique(labels)
    right = np.array([(predictions[labels == label] == label).mean() for label in tested])
    chosen: list[int] = []
    for label in tested[np.argsort(right, kind='stable')]:
        wrong = predictions[(labels == label) & (predictions != label)]
        if len(chosen) >= size or not wrong.size:
            break
        chosen += [c for c in (int(label), int(np.bincount(wrong).argmax())) if c not in chosen]
    return np.array(chosen[:size], dtype=np.int64)


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, classes: np.ndarray, names: Sequence[str]
) -> Figure:
    """Draw what is predicted for the images of some classes.

    Args:
        labels: True classes, shape (N,).
        predictions: Predicted classes, shape (N,).
        classes: The classes to show, shape (M,), of the C ones.
        names: Class names in label order, length C.

    Returns:
        A figure that belongs to no window. A row is a true class, in percent of its images; the
        last column sums up the predicted classes that are not shown, if there are any.

    Example:
        >>> labels, predictions = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> figure = confusion_matrix(labels, predictions, np.array([0, 1]), ['owl', 'bat'])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['50', '50', '100']
    """
    shares = np.zeros((len(classes), len(classes) + 1))
    for row, label in enumerate(classes):
        predicted = predictions[labels == label]
        if predicted.size:
            shares[row, :-1] = 100 * (predicted[:, None] == classes).mean(axis=0)
            shares[row, -1] = 100 - shares[row, :-1].sum()
    columns = [short_name(str(names[label]), 13) for label in classes]
    rows = columns[:]
    if shares[:, -1].max() > 0.5:
        columns.append('others')
    shares = shares[:, : len(columns)]
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    shaded_cells(axes, shares)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel('predicted (% of the true class)')
    axes.set_ylabel('true')
    return figure

"""How each class fares."""

import csv
import io
from collections.abc import Sequence

from ecl.evaluation.predictions import Predictions
from ecl.shots import shot_names


def class_table(
    predictions: Predictions,
    class_counts: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> str:
    """Lay out the accuracy of each class beside its training images, as CSV.

    Args:
        predictions: For the test images.
        class_counts: Training images of each class, length C.
        class_names: Names in label order, length C.

    Returns:
        A header, then a line for each class: ``label``, ``class``, ``training_images``,
        ``shot_group``, ``test_images``, and the accuracy in percent of each predictor
        (``ensemble``, ``expert 0``, ...). What is not known is empty.
    """
    labels = predictions.labels.tolist()
    known = class_counts or class_names or ()
    size = max(len(known), predictions.predicted.max(initial=-1) + 1, max(labels, default=-1) + 1)
    groups = shot_names(class_counts) if class_counts else [''] * size
    accuracies = predictions.class_accuracies(size).T
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    columns = ('label', 'class', 'training_images', 'shot_group', 'test_images')
    writer.writerow((*columns, *predictions.names))
    for label in range(size):
        tested = labels.count(label)
        writer.writerow(
            (
                label,
                class_names[label] if class_names else '',
                class_counts[label] if class_counts else '',
                groups[label],
                tested,
                *(f'{value:.2f}' if tested else '' for value in accuracies[label]),
            )
        )
    return text.getvalue()

"""Draw the figures of a report, each with a title and a short explanation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ecl.apps.report.curves import accuracy_curves, loss_curves, training_curves
from ecl.apps.report.figures import (
    agreement_matrix,
    confusing_classes,
    confusion_matrix,
    embed,
    experts_right,
    feature_map,
    reliability_diagram,
)
from ecl.apps.report.run import Run
from ecl.evaluation import PredictionShare, calibration_errors
from ecl.evaluation.metrics import BINS
from ecl.evaluation.prediction_share import describe_thirds
from ecl.shots import shot_groups
from ecl.visualization import class_accuracy, prediction_share_figure, weight_heatmap


@dataclass
class Panel:
    """Figure of a run, or the reason why there is none.

    Attributes:
        figure: The figure, or None.
        text: Its content in numbers, or the reason why it is missing.
    """

    figure: Figure | None
    text: str


@dataclass
class Topic:
    """Section of the report.

    Attributes:
        title: Heading.
        guide: How to read the figure.
        draw: From a run to its panel.
    """

    title: str
    guide: str
    draw: Callable[[Run], Panel]


def _losses(run: Run) -> Panel:
    curves = loss_curves(run.scalars)
    if not curves:
        return Panel(None, 'The work dir holds no log of losses.')
    _, total = curves['total']
    positive = all((values > 0).all() for _, values in curves.values())
    figure = training_curves(curves, 'loss', yscale='log' if positive else 'linear')
    return Panel(figure, f'The total fell from {total[0]:.3g} to {total[-1]:.3g}.')


def _accuracies(run: Run) -> Panel:
    curves = accuracy_curves(run.scalars)
    if not curves:
        return Panel(None, 'The training was never validated.')
    figure = training_curves(curves, 'accuracy (%)')
    figure.axes[0].set_ylim(0, 102)
    epochs, _ = next(iter(curves.values()))
    last = ', '.join(f'{name} {values[-1]:.1f}' for name, (_, values) in curves.items())
    times = 'once' if len(epochs) == 1 else f'{len(epochs)} times'
    return Panel(figure, f'Validated {times}; at the end {last} percent.')


def _classes(run: Run) -> Panel:
    accuracies = run.predictions.class_accuracies(len(run.class_counts))[0]
    figure = class_accuracy(accuracies, run.class_counts, run.class_names, run.thresholds)
    worst, best = np.nanargmin(accuracies), np.nanargmax(accuracies)
    ends = [
        f'{run.class_names[label]} ({run.class_counts[label]} training images, '
        f'{accuracies[label]:.0f} %)'
        for label in (best, worst)
    ]
    return Panel(figure, f'Best: {ends[0]}; worst: {ends[1]}.')


def _shares(run: Run) -> Panel:
    by_kind = run.predictions.by_classifier or {'model': run.predictions}
    shares = {name: PredictionShare.of(found, run.class_counts) for name, found in by_kind.items()}
    thirds = [
        f'{name} {describe_thirds(share.summary()["share_thirds"], 0)}'
        for name, share in shares.items()
    ]
    figure = prediction_share_figure(shares)
    figure.set_size_inches(4.2, 3.7)
    return Panel(
        figure, f'Predicted images in the first, second and last third: {", ".join(thirds)}.'
    )


def _weights(run: Run) -> Panel:
    if run.weights is None:
        return Panel(None, 'This model has no distillation weights.')
    figure = weight_heatmap(run.weights, run.class_counts, run.thresholds)
    figure.axes[0].set_title('')
    figure.set_size_inches(4.3, 3.4)
    means = [
        f'{name} {np.nanmean(run.weights[-1][:, classes]):.2f}'
        for name, classes in shot_groups(run.class_counts, run.thresholds).items()
        if not np.isnan(run.weights[-1][:, classes]).all()
    ]
    return Panel(figure, f'Mean weight of a class in the last epoch: {", ".join(means)}.')


def _agreement(run: Run) -> Panel:
    predicted = run.predictions.predicted
    if len(predicted) < 3:
        return Panel(None, 'There is a single expert.')
    experts = predicted[1:]
    unanimous = 100 * (experts == experts[0]).all(axis=0).mean()
    figure = agreement_matrix(predicted, run.predictions.names)
    return Panel(figure, f'All experts predict the same class on {unanimous:.1f} % of the images.')


def _experts_right(run: Run) -> Panel:
    right = run.predictions.right
    if len(right) < 3:
        return Panel(None, 'There is a single expert.')
    groups = shot_groups(run.class_counts, run.thresholds)
    figure = experts_right(right[1:], run.predictions.labels, groups)
    lost = 100 * (right[1:].any(axis=0) & ~right[0]).mean()
    return Panel(
        figure, f'On {lost:.1f} % of the images an expert is right and the ensemble is wrong.'
    )


def _confusion(run: Run) -> Panel:
    labels, predicted = run.predictions.labels, run.predictions.predicted[0]
    classes = confusing_classes(labels, predicted, size=8)
    if not classes.size:
        return Panel(None, 'Every test image is classified correctly.')
    figure = confusion_matrix(labels, predicted, classes, run.class_names)
    named = ', '.join(run.class_names[label] for label in classes)
    return Panel(figure, f'Shown: {named}.')


def _features(run: Run) -> Panel:
    labels, places = run.predictions.labels, run.features.places
    figure = feature_map(
        embed(run.features.vectors),
        labels[places],
        run.class_counts,
        run.class_names,
        run.thresholds,
    )
    return Panel(figure, f'{len(places):,} of {len(labels):,} test images.')


def _reliability(run: Run) -> Panel:
    confidence, right = run.predictions.confidence[0], run.predictions.right[0]
    figure = reliability_diagram(confidence, right, BINS)
    error = calibration_errors(run.predictions)[0]
    return Panel(
        figure,
        f'Mean confidence {100 * confidence.mean():.1f} %, accuracy {100 * right.mean():.1f} %, '
        f'expected calibration error {error:.1f} %.',
    )


TOPICS = (
    Topic('Losses', 'Averaged over each epoch.', _losses),
    Topic(
        'Accuracy over the training',
        'Accuracy of the whole model on the validation data.',
        _accuracies,
    ),
    Topic(
        'Accuracy of each class',
        'Each point is a class; each line is the mean of a shot group.',
        _classes,
    ),
    Topic(
        'Predictions per class',
        'A model that predicts frequent classes too often has a falling line. 100 means '
        'that a class is predicted as often as it occurs in the test images.',
        _shares,
    ),
    Topic(
        'Distillation weights',
        'Above 1 (red) a class has more weight in the distillation, below 1 (blue) less.',
        _weights,
    ),
    Topic(
        'Agreement between experts',
        'Share of test images for which two experts predict the same class, right or wrong.',
        _agreement,
    ),
    Topic(
        'How many experts are right',
        'If only some experts are right on many images, they complement each other.',
        _experts_right,
    ),
    Topic(
        'Confusion among the worst classes',
        'The classes with the lowest accuracy, each with its most frequent wrong prediction. Each '
        'row adds up to 100 %.',
        _confusion,
    ),
    Topic(
        'Feature map',
        'Test images by t-SNE, coloured by shot group: near points have similar features. '
        'Distances between clusters have no meaning.',
        _features,
    ),
    Topic(
        'Reliability',
        'Below the dashed line the model is overconfident.',
        _reliability,
    ),
)

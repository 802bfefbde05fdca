"""Accuracy of each class over its training images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization.style import GROUP_COLOURS, GROUP_MARKERS, SMALL, plain_axes, short_name

#: Above this number of classes their names would print over each other.
NAMED = 12


def class_accuracy(
    accuracies: np.ndarray,
    class_counts: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw each class at its training images and its accuracy; a line is the mean of a group.

    Args:
        accuracies: Accuracy of each class in percent, shape (C,); NaN for an untested class.
        class_counts: Training images of each class, length C.
        names: Class names in label order, written beside the points of up to twelve classes.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure that belongs to no window; the axis of the counts is logarithmic.

    Example:
        >>> figure = class_accuracy(np.array([90.0, 40.0]), [500, 5])
        >>> figure.axes[0].get_xscale()
        'log'
    """
    counts = np.asarray(class_counts)
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    for group, members in shot_groups(counts, thresholds).items():
        classes = members[~np.isnan(accuracies[members])]
        if not classes.size:
            continue
        x, y = np.maximum(counts[classes], 0.7), accuracies[classes]
        colour = GROUP_COLOURS[group]
        label = f'{group} ({y.mean():.1f})'
        axes.scatter(
            x,
            y,
            s=26,
            marker=GROUP_MARKERS[group],
            color=colour,
            alpha=0.75,
            linewidths=0,
            label=label,
            rasterized=len(counts) > 2000,
        )
        axes.hlines(y.mean(), x.min() / 1.08, x.max() * 1.08, color=colour, linewidth=1.6)
    if names is not None and len(counts) <= NAMED:
        for index, accuracy in enumerate(accuracies):
            if not np.isnan(accuracy):
                axes.annotate(
                    short_name(str(names[index]), 14),
                    (max(counts[index], 0.7), accuracy),
                    (0, -12 if accuracy > 10 else 5),  # clear of the axis
                    textcoords='offset points',
                    ha='center',
                    fontsize='small',
                )
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
    axes.set_ylim(-6, 106)
    axes.set_xlabel('training images of the class')
    axes.set_ylabel('accuracy (%)')
    plain_axes(axes)
    figure.legend(loc='outside upper center', ncols=3, frameon=False, handletextpad=0.2)
    return figure

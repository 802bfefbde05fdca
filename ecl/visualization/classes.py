"""Figures of the classes: sizes, accuracy, and shares of the predictions."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ecl.evaluation.prediction_share import PredictionShare, linear_trend, slope
from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    LINE_COLOURS,
    LINE_STYLES,
    SMALL,
    plain_axes,
    short_name,
)

#: The largest number of classes whose names fit next to their points.
NAMED = 12


def class_distribution(
    train_counts: Sequence[int],
    test_counts: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the class sizes, sorted and coloured by shot group, above the test images.

    Args:
        train_counts: Training images of each class, length C.
        test_counts: Test images of each class, length C; without them there is one panel.
        names: Class names in label order, written under the bars of up to 40 classes.

    Returns:
        A figure without a window; the training panel is logarithmic.

    Example:
        >>> figure = class_distribution([500, 50, 5], [10, 10, 10])
        >>> len(figure.axes)
        2
    """
    counts = np.asarray(train_counts)
    order = np.argsort(-counts, kind='stable')
    panels = 1 if test_counts is None else 2
    figure = Figure(figsize=(9, 3.4 + 1.6 * (panels - 1)), layout='constrained')
    axes = figure.subplots(
        panels, 1, sharex=True, squeeze=False, height_ratios=[2.2, 1][:panels]
    ).ravel()
    groups = shot_groups(counts)
    _bars(axes[0], counts, order, groups)
    axes[0].set_yscale('log')
    axes[0].set_ylim(bottom=0.7)
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
    present = counts[counts > 0]
    factor = f', imbalance factor {present.max() / present.min():.4g}' if present.size else ''
    axes[0].set_title(f'{counts.sum():,} training images in {len(counts):,} classes{factor}')
    axes[0].set_ylabel('training images')
    axes[0].legend(title=None, frameon=False, loc='upper right')
    if test_counts is not None:
        tested = np.asarray(test_counts)
        _bars(axes[1], tested, order, groups)
        axes[1].set_ylabel('test images')
        axes[1].set_title(f'{tested.sum():,} test images', fontsize='medium')
    _name_classes(axes[-1], order, names)
    return figure


def _bars(axes: Axes, counts: np.ndarray, order: np.ndarray, groups: dict[str, np.ndarray]) -> None:
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for name, classes in groups.items():
        noun = 'class' if len(classes) == 1 else 'classes'
        label = f'{name}-shot: {len(classes)} {noun}, {counts[classes].sum():,} images'
        colour = GROUP_COLOURS[name]
        if len(counts) <= 150:
            axes.bar(place[classes], counts[classes], 0.85, color=colour, label=label)
        else:  # thousands of bars would take seconds
            places = np.sort(place[classes])
            edges = np.append(places, places[-1] + 1) - 0.5
            axes.stairs(counts[order][places], edges, fill=True, color=colour, label=label)
    axes.set_xlim(-0.8, len(counts) - 0.2)
    plain_axes(axes)
    axes.grid(visible=False, axis='x')


def _name_classes(axes: Axes, order: np.ndarray, names: Sequence[str] | None) -> None:
    if names is None or len(order) > 40:
        axes.set_xlabel('classes, sorted by training images')
        return
    shown = [short_name(names[label]) for label in order]
    axes.set_xlabel('class, most training images first')
    axes.tick_params(axis='x', length=0)
    if len(shown) * (2 + max(map(len, shown), default=0)) <= 80:  # they fit side by side
        axes.set_xticks(range(len(order)), shown)
        return
    axes.set_xticks(range(len(order)), shown, rotation=60, ha='right', rotation_mode='anchor')
    axes.tick_params(axis='x', labelsize='small')


def class_accuracy(
    accuracies: np.ndarray,
    class_counts: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw the accuracy of each class over its training images, and the mean of each shot group.

    Args:
        accuracies: Accuracy of each class in percent, shape (C,); NaN for an untested class.
        class_counts: Training images of each class, length C.
        names: Class names in label order, written next to the points of up to twelve classes.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure without a window; the axis of the counts is logarithmic.

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
                    (0, -12 if accuracy > 10 else 5),  # away from the axis
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


def accuracy_change(
    before: np.ndarray,
    after: np.ndarray,
    class_counts: Sequence[int] | np.ndarray,
    methods: tuple[str, str] = ('before', 'after'),
    names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw the accuracy of each class by two methods, from the largest class to the smallest.

    Args:
        before: Accuracy of each class by the first method in percent, shape (C,).
        after: The same by the second method.
        class_counts: Training images of each class, length C.
        methods: Names of the two methods.
        names: Class names in label order, written under the points of up to 40 classes.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure without a window: hollow points for the first method, filled ones for the second,
        and lines between them.

    Example:
        >>> figure = accuracy_change(np.array([90.0, 10.0]), np.array([88.0, 40.0]), [500, 5])
        >>> len(figure.axes[0].lines)
        4
    """
    counts = np.asarray(class_counts)
    order = np.argsort(-counts, kind='stable')
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    figure = Figure(figsize=(9, 3.8), layout='constrained')
    axes = figure.add_subplot()
    for group, classes in shot_groups(counts, thresholds).items():
        tested = classes[~np.isnan(before + after)[classes]]
        if not len(tested):
            continue
        x, low, high = place[tested], before[tested], after[tested]
        colour = GROUP_COLOURS[group]
        axes.vlines(x, low, high, color=colour, alpha=0.45, linewidth=2)
        label = f'{group}-shot: {low.mean():.0f} to {high.mean():.0f} %'
        points = GROUP_MARKERS[group]
        axes.plot(x, low, points, color=colour, fillstyle='none')
        axes.plot(x, high, points, color=colour, label=label)
    axes.set_title(f'{methods[0]} (hollow) and {methods[1]} (filled)', fontsize='medium')
    axes.set_ylim(-4, 104)
    axes.set_ylabel('accuracy (%)')
    plain_axes(axes)
    _name_classes(axes, order, names)
    figure.legend(loc='outside lower center', ncols=3, frameon=False)
    return figure


def prediction_share_figure(shares: Mapping[str, PredictionShare]) -> Figure:
    """Draw predicted images and confidence over the rank of the class, with linear trends.

    Args:
        shares: Values by the name of the model or classifier. All have the same number of classes.

    Returns:
        A figure without a window: one point per class and one trend line per name in each of its
        two panels. The legend has the slopes of the upper panel.

    Example:
        >>> share = PredictionShare(np.array([120.0, 100, 80]), np.array([0.9, 0.8, 0.6]))
        >>> prediction_share_figure({'ECL': share}).axes[0].get_legend_handles_labels()[1]
        ['ECL (slope -20)']
    """
    figure = Figure(figsize=(5.2, 4.2 + 0.2 * len(shares)), layout='constrained')
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    alpha = 0.8 / max(2, len(shares))
    colours = cycle((*GROUP_COLOURS.values(), *LINE_COLOURS))
    for (name, values), colour, style in zip(
        shares.items(), colours, cycle(LINE_STYLES), strict=False
    ):
        label = f'{name} (slope {round(slope(values.share), 4) + 0:.2g})'
        for axes, curve in ((upper, values.share), (lower, values.confidence)):
            size = np.clip(1200 / len(curve), 3, 36)
            axes.scatter(range(len(curve)), curve, size, color=colour, alpha=alpha, linewidths=0)
            axes.plot(linear_trend(curve), ls=style, color=colour, lw=2, label=label)
    upper.axhline(100, color='0.5', linewidth=1, linestyle=':')
    upper.set_ylim(bottom=0)
    upper.set_ylabel('predicted images\n(100: balanced)')
    lower.set_ylim(0, 1.05)
    lower.set_ylabel('mean confidence')
    lower.set_xlabel('class rank (0: most training images)')
    for axes in (upper, lower):
        plain_axes(axes)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', frameon=False, fontsize='small')
    return figure

"""Bar chart of the class sizes: the long tail, and what it is tested on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization.style import GROUP_COLOURS, plain_axes, short_name


def class_distribution(
    train_counts: Sequence[int],
    test_counts: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw the classes sorted by training images, coloured by shot group, above their test images.

    Args:
        train_counts: Training images of each class, length C.
        test_counts: Test images of each class, length C; without them there is one panel.
        names: Class names in label order, written under the bars of up to 40 classes.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure that belongs to no window; the training panel is logarithmic.

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
    groups = shot_groups(counts, thresholds)
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
        else:  # thousands of bars take seconds, and gaps between them would only be noise
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
    axes.set_xticks(range(len(order)), shown, rotation=60, ha='right', rotation_mode='anchor')
    axes.tick_params(axis='x', labelsize='small', length=0)

"""Curves of a training: losses or accuracies over the epochs."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ecl.visualization.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    LINE_COLOURS,
    LINE_STYLES,
    SMALL,
    plain_axes,
)


def training_curves(
    series: Mapping[str, tuple[Any, Any]],
    ylabel: str,
    xlabel: str = 'epoch',
    yscale: str = 'linear',
) -> Figure:
    """Draw values over the course of a training, one line each.

    Lines called after a shot group have its colour and marker; all differ in their dashes too.

    Args:
        series: ``(epochs, values)`` of each line by its name, two sequences of numbers.
        ylabel: What the values are.
        xlabel: What the training is counted in.
        yscale: ``'linear'`` or ``'log'``.

    Returns:
        A figure that belongs to no window.

    Example:
        >>> figure = training_curves({'many': ([1, 2], [50.0, 60.0])}, 'accuracy (%)')
        >>> figure.axes[0].get_ylabel()
        'accuracy (%)'
    """
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    others = 0
    for name, (epochs, values) in series.items():
        style: dict[str, Any] = {
            'marker': GROUP_MARKERS.get(name),
            'markevery': max(1, len(epochs) // 8),
        }
        if name in GROUP_COLOURS:
            style['color'] = GROUP_COLOURS[name]
        else:
            style['color'] = LINE_COLOURS[others % len(LINE_COLOURS)]
            style['linestyle'] = LINE_STYLES[others % len(LINE_STYLES)]
            style['marker'] = 'D' if len(epochs) == 1 else None
            others += 1
        axes.plot(epochs, values, label=name, markersize=5, linewidth=1.6, **style)
    axes.set_yscale(yscale)
    if yscale == 'log':
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    plain_axes(axes)
    columns = len(series) if len(series) <= 4 else 3
    figure.legend(loc='outside upper center', ncols=columns, frameon=False, handlelength=1.6)
    return figure

"""Figure of predicted images and confidence per class."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from ecl.evaluation.prediction_share import PredictionShare, linear_trend, slope
from ecl.visualization.style import GROUP_COLOURS, LINE_COLOURS, LINE_STYLES, plain_axes


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
    figure = Figure(figsize=(4.4, 4.6), layout='constrained')
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    colours = cycle((*GROUP_COLOURS.values(), *LINE_COLOURS))
    for (name, values), colour, style in zip(
        shares.items(), colours, cycle(LINE_STYLES), strict=False
    ):
        label = f'{name} (slope {round(slope(values.share), 4) + 0:.2g})'
        for axes, curve in ((upper, values.share), (lower, values.confidence)):
            size = np.clip(1200 / len(curve), 3, 36)
            axes.scatter(range(len(curve)), curve, size, color=colour, alpha=0.4, linewidths=0)
            axes.plot(linear_trend(curve), style, color=colour, linewidth=2, label=label)
    upper.axhline(100, color='0.5', linewidth=1, linestyle=':')
    upper.set_ylim(bottom=0)
    upper.set_ylabel('predicted images\n(100: balanced)')
    lower.set_ylim(0, 1.05)
    lower.set_ylabel('mean confidence')
    lower.set_xlabel('class rank (0: most training images)')
    for axes in (upper, lower):
        plain_axes(axes)
    figure.legend(*upper.get_legend_handles_labels(), loc='outside upper center', frameon=False)
    return figure

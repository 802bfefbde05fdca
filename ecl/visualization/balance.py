"""Methods at the same balance between frequent and rare classes."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from ecl.visualization.style import GROUP_COLOURS, LINE_COLOURS, plain_axes


def balance_figure(curves: Mapping[str, np.ndarray], strengths: tuple[float, ...]) -> Figure:
    """Draw overall over few-shot accuracy as the prior is corrected further.

    Args:
        curves: Few-shot and overall accuracy in percent at each strength, for each seed of a
            method: (seeds, strengths, 2) by method.
        strengths: What :class:`~ecl.evaluation.BalanceAccuracy` took off, in ascending order.

    Returns:
        A figure that belongs to no window: the mean over seeds as a line, their sample standard
        deviation as bars, a mark for each strength, the first and the last of them named.

    Example:
        >>> figure = balance_figure({'one seed': np.ones((1, 3, 2))}, (0, 0.5, 1))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0', '1']
    """
    figure = Figure(figsize=(6.4, 4.8), layout='constrained')
    axes = figure.subplots()
    colours, markers = cycle((*GROUP_COLOURS.values(), *LINE_COLOURS)), cycle('os^DvPX<>')
    for (name, values), colour, marker in zip(curves.items(), colours, markers, strict=False):
        few, overall = values.mean(axis=0).T
        if len(values) > 1:
            bars = values[..., 1].std(axis=0, ddof=1)
            axes.errorbar(few, overall, bars, linestyle='', color=colour, alpha=0.35, capsize=2)
        axes.plot(few, overall, color=colour, marker=marker, markersize=5, label=name)
        for end in (0, -1):
            axes.annotate(
                f'{strengths[end]:g}',
                (few[end], overall[end]),
                (0, 6),
                textcoords='offset points',
                ha='center',
                color=colour,
                fontsize=8,
            )
    axes.set_xlabel('few-shot accuracy (%)')
    axes.set_ylabel('overall accuracy (%)')
    figure.legend(loc='outside upper center', ncols=2, frameon=False)
    plain_axes(axes)
    return figure

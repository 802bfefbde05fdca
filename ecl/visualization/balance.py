"""Methods at the same balance between frequent and rare classes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ecl.visualization.style import LINE_COLOURS, LINE_STYLES, plain_axes


def balance_figure(curves: Mapping[str, np.ndarray], strengths: tuple[float, ...]) -> Figure:
    """Draw overall over few-shot accuracy as the prior is corrected further.

    Args:
        curves: Few-shot and overall accuracy in percent at each strength, for each seed of a
            method: (seeds, strengths, 2) by method.
        strengths: What :class:`~ecl.evaluation.BalanceAccuracy` took off, in ascending order.

    Returns:
        A figure that belongs to no window: the mean over seeds as a line, their sample standard
        deviation as bars, a mark for each strength.

    Example:
        >>> figure = balance_figure({'one seed': np.ones((1, 3, 2))}, (0, 0.5, 1))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0', '0.5', '1']
    """
    figure = Figure(figsize=(6.4, 4.4), layout='constrained')
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        few, overall = values.mean(axis=0).T
        bars = values[..., 1].std(axis=0, ddof=1) if len(values) > 1 else None
        axes.errorbar(
            few,
            overall,
            bars,
            marker='o',
            markersize=4,
            capsize=2,
            elinewidth=0.8,
            color=LINE_COLOURS[index % len(LINE_COLOURS)],
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            label=name,
        )
        for x, y, strength in zip(few, overall, strengths, strict=True):
            axes.annotate(f'{strength:g}', (x, y), (3, 4), textcoords='offset points', fontsize=7)
    axes.set_xlabel('few-shot accuracy (%)')
    axes.set_ylabel('overall accuracy (%)')
    figure.legend(loc='outside upper center', ncols=2, frameon=False)
    plain_axes(axes)
    return figure

"""Read and draw the curves of a training, from the scalars that MMEngine logs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ecl.evaluation.table import COLUMNS
from ecl.visualization.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    LINE_COLOURS,
    LINE_STYLES,
    SMALL,
    plain_axes,
)

#: Values by name, each as (places in the training, values).
Curves = dict[str, tuple[np.ndarray, np.ndarray]]


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Read the log of a work dir, from every start and resume of the training.

    Args:
        work_dir: Folder of a training.

    Returns:
        One dict for each line of ``*/vis_data/scalars.json``, in the order of the training. If a
        resume or a new start repeats some steps, its lines replace the earlier ones. Lines that a
        crash truncated and lines of tests are left out.
    """
    lines: list[dict[str, float]] = []
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        logged = [line for line in map(_parsed, path.read_text().splitlines()) if 'step' in line]
        first = next((line for line in logged if 'loss' in line), None)
        if first is not None:
            lines = [line for line in lines if _is_before(line, first)] + logged
    return lines


def _parsed(text: str) -> dict[str, float]:
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return line if isinstance(line, dict) else {}


def _is_before(line: dict[str, float], first: dict[str, float]) -> bool:
    """Return whether a line was logged before the first step of a later start."""
    if 'loss' in line:
        return line['step'] < first['step']
    return line['step'] < first.get('epoch', first['step'])  # a validation counts in epochs


def loss_curves(lines: list[dict[str, float]]) -> Curves:
    """Return losses by name, each averaged over the lines of an epoch.

    Args:
        lines: Of :func:`read_scalars`.

    Returns:
        The sum of the losses as ``total``, then its parts where there are several. A training
        counted in steps has one value for each line.
    """
    training = [line for line in lines if 'loss' in line]
    names = [key for key in (training[-1] if training else ()) if 'loss' in key]
    names.sort(key=lambda name: name != 'loss')
    if len(names) == 2:  # the sum has only one part
        names = names[:1]
    place = [line.get('epoch', line['step']) for line in training]
    return {
        'total' if name == 'loss' else name.replace('_', ' ').removesuffix(' loss'): _averaged(
            place, [line.get(name, np.nan) for line in training]
        )
        for name in names
    }


def accuracy_curves(lines: list[dict[str, float]]) -> Curves:
    """Return the validation accuracies of the ensemble: overall, many, medium and few.

    Args:
        lines: Of :func:`read_scalars`.

    Returns:
        Percentages by group, without groups that were never validated.
    """
    curves = {}
    for name in COLUMNS[:4]:
        points = [(x['step'], x[f'shot/{name}']) for x in lines if f'shot/{name}' in x]
        if points:
            curves[name] = tuple(np.array(points, dtype=float).T)
    return curves


def _averaged(place: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    places, index = np.unique(place, return_inverse=True)
    sums = np.bincount(index, weights=values)
    return places, sums / np.bincount(index)


def training_curves(
    series: Mapping[str, tuple[Any, Any]],
    ylabel: str,
    yscale: str = 'linear',
) -> Figure:
    """Draw the curves of a training, one line for each series.

    Lines named after a shot group have its colour and marker; all lines differ in their dashes.

    Args:
        series: ``(epochs, values)`` of each line by its name, two sequences of numbers.
        ylabel: Label of the values.
        yscale: ``'linear'`` or ``'log'``.

    Returns:
        A figure without a window.

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
    axes.set_xlabel('epoch')
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    plain_axes(axes)
    columns = len(series) if len(series) <= 4 else 3
    figure.legend(loc='outside upper center', ncols=columns, frameon=False, handlelength=1.6)
    return figure

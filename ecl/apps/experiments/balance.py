"""Compare methods at the same balance between frequent and rare classes."""

import json
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.predictions import evaluate_checkpoint
from ecl.apps.experiments.compare.methods import read_methods
from ecl.engine.resume.atomic_file import atomic_write
from ecl.errors import UserError
from ecl.evaluation import BalanceAccuracy
from ecl.evaluation.calibration import STRENGTHS
from ecl.evaluation.table import markdown
from ecl.visualization.style import GROUP_COLOURS, LINE_COLOURS, plain_axes


def balance(
    paths: Sequence[str | Path],
    out: str | Path,
    strengths: Sequence[float] = STRENGTHS,
    cfg_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Predict with further correction of the prior, and draw overall over few-shot accuracy.

    A method may lead on rare classes merely because it favours them. Taking t * log prior off the
    logits, for several t, moves every method along its own curve; the one whose curve lies higher
    is better at any balance.

    Args:
        paths: Work dirs of finished trainings, or folders of such, taken for seeds of one method.
        out: Files to write, without extension: ``OUT.json``, ``OUT.md``, ``OUT.png``.
        strengths: The values of t; see :class:`~ecl.evaluation.BalanceAccuracy`.
        cfg_options: Values by dotted key that replace those of the trainings' configurations.

    Returns:
        What the JSON file holds: ``strengths``, and ``methods`` with name, seeds, and a list of
        values for each seed under ``overall``, ``many``, ``medium`` and ``few``.

    Raises:
        UserError: If a training is not there, or has no few-shot class.
    """
    strengths = sorted(strengths)
    if not Path(out).parent.is_dir():
        raise UserError(f'cannot write {out}: folder {Path(out).parent} does not exist')
    methods: list[dict[str, Any]] = []
    for method in read_methods(paths):
        if not method.work_dirs:
            raise UserError(f'{method.name} is no work dir of a training, nor a folder of such')
        found = [_curves(work_dir, strengths, cfg_options) for work_dir in method.work_dirs]
        methods.append(
            {
                'name': method.name,
                'seeds': [record.get('seed') for record in method.records],
                **{group: [curves[group] for curves in found] for group in found[0]},
            }
        )
    result = {'strengths': strengths, 'options': dict(cfg_options or {}), 'methods': methods}
    curves = {
        method['name']: np.stack([method['few'], method['overall']], axis=-1) for method in methods
    }
    balance_figure(curves, tuple(strengths)).savefig(f'{out}.png', dpi=150)
    text = _text(result)
    for suffix, written in (('.md', text), ('.json', json.dumps(result, indent=1))):
        with atomic_write(f'{out}{suffix}') as file:
            file.write(f'{written}\n'.encode())
    print(text)
    return result


def _curves(
    work_dir: Path, strengths: Sequence[float], cfg_options: Mapping[str, Any] | None
) -> dict[str, list[float]]:
    checkpoint = latest_checkpoint(work_dir)
    if checkpoint is None:
        raise UserError(f'{work_dir} holds no checkpoint')
    metrics = evaluate_checkpoint(checkpoint, BalanceAccuracy(strengths), cfg_options)
    try:
        return {
            group: [metrics[f'balance/{strength:g}/{group}'] for strength in strengths]
            for group in ('overall', 'many', 'medium', 'few')
        }
    except KeyError as error:
        raise UserError(f'{work_dir}: no class of the test data is {error.args[0]}') from error


def _text(result: Mapping[str, Any]) -> str:
    table = Table(box=box.MARKDOWN)
    table.add_column('overall / few-shot (%)')
    for strength in ('seeds', *(f't = {strength:g}' for strength in result['strengths'])):
        table.add_column(strength, justify='right')
    for method in result['methods']:
        columns = zip(_cells(method['overall']), _cells(method['few']), strict=True)
        seeds = str(len(method['seeds']))
        table.add_row(method['name'], seeds, *(f'{one} / {two}' for one, two in columns))
    return (
        f'# Accuracy at equal balance\n\n{markdown(table, 300)}\n\n'
        'Of the ensemble, with t * log prior taken off its logits; '
        'mean ± sample standard deviation over the seeds.'
    )


def _cells(values: Sequence[Sequence[float]]) -> list[str]:
    """Mean and deviation over seeds at each strength, from (seeds, strengths)."""
    array = np.asarray(values)
    if len(array) == 1:
        return [f'{value:.1f}' for value in array[0]]
    pairs = zip(array.mean(axis=0), array.std(axis=0, ddof=1), strict=True)
    return [f'{mean:.1f} ± {std:.1f}' for mean, std in pairs]


def balance_figure(curves: Mapping[str, np.ndarray], strengths: tuple[float, ...]) -> Figure:
    """Draw overall over few-shot accuracy for a growing correction of the prior.

    Args:
        curves: Few-shot and overall accuracy in percent at each strength, for each seed of a
            method: (seeds, strengths, 2) by method.
        strengths: The strengths of :class:`~ecl.evaluation.BalanceAccuracy`, in ascending order.

    Returns:
        A figure without a window: the mean over seeds as a line, their sample standard
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

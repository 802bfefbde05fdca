"""Compare methods at the same balance between frequent and rare classes."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecl.apis.inference import evaluate_checkpoint
from ecl.apps.experiments.compare import read_methods
from ecl.apps.experiments.table import mean_std, write_results
from ecl.engine.resume.atomic_file import check_folder
from ecl.errors import UserError
from ecl.evaluation import BalanceAccuracy, markdown_table
from ecl.evaluation.metrics import STRENGTHS
from ecl.visualization.style import GROUP_COLOURS, LINE_COLOURS, plain_axes

GROUPS = ('overall', 'many', 'medium', 'few')


def balance_figure(curves: Mapping[str, np.ndarray], strengths: tuple[float, ...]) -> Figure:
    """Draw overall over few-shot accuracy for a growing correction of the prior.

    Args:
        curves: Few-shot and overall accuracy in percent at each strength, for each seed of a
            method: (seeds, strengths, 2) by method.
        strengths: The strengths of :class:`~ecl.evaluation.BalanceAccuracy`, in ascending order.

    Returns:
        A figure without a window: the mean over seeds as a line, their sample standard
        deviation as bars, a mark for each strength, with labels for the first and the last.

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
    figure.legend(
        title='numbers at the ends of the curves: strength of logit adjustment',
        title_fontsize='small',
        loc='outside upper center',
        ncols=2,
        frameon=False,
    )
    plain_axes(axes)
    return figure


def balance(
    paths: Sequence[str | Path],
    out: str | Path,
    strengths: Sequence[float] = STRENGTHS,
    cfg_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Predict with several strengths of logit adjustment, and draw overall over few-shot accuracy.

    A method may lead on rare classes only because it favours them. The term t * log prior is
    subtracted from the logits for several t. This moves every method along a curve of its own. The
    method with the higher curve is better at any balance.

    Args:
        paths: Work dirs of finished trainings, or folders of work dirs (seeds of one method).
        out: Files to write, without extension: ``OUT.json``, ``OUT.md``, ``OUT.png``.
        strengths: The values of t; see :class:`~ecl.evaluation.BalanceAccuracy`.
        cfg_options: Values by dotted key that replace those of the trainings' configurations.

    Returns:
        The content of the JSON file: ``strengths``, ``options``, and ``methods`` with name, seeds,
        and a list of values for each seed under ``overall``, ``few``, and of ``many`` and
        ``medium`` those that the test data have.

    Raises:
        UserError: If a training does not exist, or has no few-shot class.
    """
    strengths = sorted(strengths)
    check_folder(out)
    methods: list[dict[str, Any]] = []
    for method in read_methods(paths):
        if not method.work_dirs:
            raise UserError(
                f'{method.name} is not a work dir of a training or a folder of work dirs'
            )
        found = [
            _curves(work_dir, strengths, method.thresholds, cfg_options)
            for work_dir in method.work_dirs
        ]
        methods.append(
            {
                'name': method.name,
                'seeds': [record.get('seed') for record in method.records],
                **{
                    group: [curves[group] for curves in found]
                    for group in GROUPS
                    if all(group in curves for curves in found)
                },
            }
        )
    curves = {
        method['name']: np.stack([method['few'], method['overall']], axis=-1) for method in methods
    }
    balance_figure(curves, tuple(strengths)).savefig(f'{out}.png', dpi=150)
    result = {'strengths': strengths, 'options': dict(cfg_options or {}), 'methods': methods}
    text = _text(result)
    write_results(out, text, result)
    print(text)
    return result


def _curves(
    work_dir: Path,
    strengths: Sequence[float],
    thresholds: tuple[int, int],
    cfg_options: Mapping[str, Any] | None,
) -> dict[str, list[float]]:
    metric = BalanceAccuracy(strengths, thresholds=thresholds)
    metrics = evaluate_checkpoint(work_dir, metric, cfg_options)
    found = {
        group: [metrics[f'balance/{strength:g}/{group}'] for strength in strengths]
        for group in GROUPS
        if f'balance/{strengths[0]:g}/{group}' in metrics
    }
    if 'few' not in found:
        raise UserError(
            f'{work_dir}: got test data without a few-shot class, expected one, since its accuracy '
            'is an axis of the figure'
        )
    return found


def _text(result: Mapping[str, Any]) -> str:
    names = [f't = {strength:g}' for strength in result['strengths']]
    frame = pd.DataFrame(
        {
            'overall / few-shot (%)': method['name'],
            'seeds': len(method['seeds']),
            **{
                name: f'{mean_std(overall, 1)} / {mean_std(few, 1)}'
                for name, overall, few in zip(
                    names, np.transpose(method['overall']), np.transpose(method['few']), strict=True
                )
            },
        }
        for method in result['methods']
    )
    options = ', '.join(f'{key}={value}' for key, value in result['options'].items())
    return (
        f'# Accuracy at equal balance\n\n{markdown_table(frame)}\n\n'
        'Of the ensemble, with t * log prior subtracted from its logits; '
        'mean ± sample standard deviation over the seeds.'
        + (f' With {options}.' if options else '')
    )

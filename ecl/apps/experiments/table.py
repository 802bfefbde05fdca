"""Write the results of experiments: mean and standard deviation over seeds."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecl.engine.resume.atomic_file import write_text
from ecl.evaluation import further_metrics, markdown_table

ACCURACIES = ('overall', 'many', 'medium', 'few', 'balanced', 'one expert')


def write_results(out: str | Path, text: str, content: Any) -> None:
    """Write a text as ``OUT.md`` and its content as ``OUT.json``.

    Args:
        out: The files without their extension.
        text: Markdown.
        content: Plain values.
    """
    record = json.dumps(content, indent=1, allow_nan=False)
    for suffix, written in (('.md', text), ('.json', record)):
        write_text(f'{out}{suffix}', f'{written}\n')


def mean_std(values: Sequence[float], decimals: int = 2) -> str | None:
    """Return 'mean ± sample standard deviation'; the value alone where there is one.

    Args:
        values: One value per seed; without values, the result is None.
        decimals: Digits after the point.
    """
    if not len(values):
        return None
    spread = f' ± {np.std(values, ddof=1):.{decimals}f}' if len(values) > 1 else ''
    return f'{np.mean(values):.{decimals}f}{spread}'


def write_table(
    title: str,
    rows: Sequence[tuple[str, Sequence[str], Sequence[Mapping[str, Any]]]],
    out: str | Path,
) -> list[dict[str, Any]]:
    """Write the results of a matrix as ``OUT.md`` and ``OUT.json``.

    Args:
        title: Heading.
        rows: For each row its name, the names of its variants, and the records of its runs: the
            content of ``results.json``, ``cost`` (see
            :func:`~ecl.apps.experiments.cost.model_cost`) and ``variants`` (name -> metrics; one
            that failed is missing).
        out: The files without their extension.

    Returns:
        The content of the JSON file: for each row and each variant of one ``name``, ``seeds``,
        ``mean`` and ``std`` (the sample standard deviation, absent for a single seed) of
        ``overall``, ``many``, ``medium``, ``few`` (of the ensemble, percent), ``balanced`` (where
        it differs from ``overall``), ``one expert`` (mean overall accuracy of the experts alone),
        :func:`~ecl.evaluation.further_metrics` by their keys, and ``seconds_per_epoch`` (all of the
        training, validation included); and for each row ``cost`` and ``runs``, the records.
    """
    lines: list[dict[str, Any]] = []
    cells: list[dict[str, str | None]] = []
    further: dict[str, None] = {}  # columns
    for name, variants, records in rows:
        tested = {name: {record['seed']: record['metrics'] for record in records}}
        for variant in variants:
            tested[f'{name}: {variant}'] = {
                record['seed']: record['variants'][variant]
                for record in records
                if variant in record['variants']
            }
        for label, found in tested.items():
            values = pd.DataFrame(map(_metrics, found.values()))
            if 'balanced' in values and np.allclose(values['balanced'], values['overall']):
                values = values.drop(columns='balanced')  # balanced test data
            line: dict[str, Any] = dict(name=label, seeds=[*found])
            epochs = '/'.join(dict.fromkeys(str(record['epochs'] or '-') for record in records))
            cells.append({'method': label, 'seeds': str(len(found)), 'epochs': epochs or None})
            cells[-1] |= {key: mean_std(values[key].to_numpy()) for key in values}
            further |= {key: None for key in values if key not in ACCURACIES}
            if label == name:
                # A training that counts iterations has no epochs.
                seconds = [r['wall_seconds'] / (r['epochs'] or 1) for r in records]
                values['seconds_per_epoch'] = seconds
                cost = records[0]['cost'] if records else {}
                line |= dict(cost=cost, runs=list(records))
                cells[-1] |= _cost(cost, values)
            line['mean'] = values.mean().dropna().to_dict()
            if len(values) > 1:
                line['std'] = values.std().to_dict()
            lines.append(line)
    costs = ('s/epoch', 'parameters', 'multiply-adds', 'training', 'views')
    frame = pd.DataFrame(
        cells, columns=['method', 'seeds', 'epochs', *ACCURACIES, *further, *costs]
    )
    if frame['balanced'].isna().all():
        frame = frame.drop(columns='balanced')
    text = f'# {title}\n\n{markdown_table(frame)}\n\n{_notes(lines)}'
    write_results(out, text, dict(title=title, rows=lines))
    return lines


def _metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    ensemble = {key: metrics[f'shot/{key}'] for key in ACCURACIES if f'shot/{key}' in metrics}
    experts = [v for k, v in metrics.items() if re.fullmatch(r'shot/expert\d+/overall', k)]
    one = {'one expert': float(np.mean(experts))} if experts else {}
    return ensemble | one | further_metrics(metrics)


def _cost(cost: Mapping[str, float], values: pd.DataFrame) -> dict[str, str]:
    if not cost:
        return {}
    return {
        's/epoch': f'{values["seconds_per_epoch"].mean():.1f}',
        'parameters': f'{cost["parameters"] / 1e6:.2f} M',
        'multiply-adds': f'{cost["multiply_adds"] / 1e6:.1f} M',
        'training': f'{cost["training_multiply_adds"] / 1e6:.1f} M',
        'views': str(cost['views']),
    }


def _notes(lines: Sequence[Mapping[str, Any]]) -> str:
    """Explain the numbers, and name protocol and versions."""
    runs = [run for line in lines for run in line.get('runs', ())]
    notes = [
        'Accuracy in percent after the last epoch, mean ± sample standard deviation over the '
        'seeds: of the ensemble (overall, and the mean of the class accuracies of the many-, '
        'medium- and few-shot classes; balanced, of all classes, where the test data are not '
        'balanced), and of one expert alone (mean over the experts). Seconds of one epoch, '
        'validation included, which depend on the machine and its other load; trained parameters; '
        'multiply-adds of the prediction for one image by all experts, and of a training step for '
        'one image; augmented views of an image in a training step.'
    ]
    for heading, key in (
        ('Protocol', 'protocol'),
        ('Versions', 'versions'),
        ('Machine', 'machine'),
    ):
        different = dict.fromkeys(json.dumps(run[key]) for run in runs if run.get(key))
        notes += [f'{heading}: {_plain(json.loads(text))}.' for text in different]
    return '\n\n'.join(notes)


def _plain(node: Any) -> str:
    if not isinstance(node, Mapping):
        return str(node)
    words = [(key.replace('_', ' '), value) for key, value in node.items() if value is not None]
    return ', '.join(
        f'{key} ({_plain(value)})' if isinstance(value, Mapping) else f'{key} {value}'
        for key, value in words
    )

"""The table of a matrix: mean and standard deviation over seeds."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.table import Table

from ecl.engine.resume.atomic_file import atomic_write
from ecl.evaluation.table import markdown

ACCURACIES = ('overall', 'many', 'medium', 'few', 'one expert')


def write_table(
    title: str,
    rows: Sequence[tuple[str, Sequence[str], Sequence[Mapping[str, Any]]]],
    out: str | Path,
) -> list[dict[str, Any]]:
    """Write the results of a matrix as ``OUT.md`` and ``OUT.json``.

    Args:
        title: Heading.
        rows: For each row its name, the names of its variants, and the records of its runs: what
            ``results.json`` holds, ``cost`` (see :func:`ecl.apps.experiments.cost.model_cost`) and
            ``variants`` (name -> metrics).
        out: The files without their extension.

    Returns:
        The content of the JSON file: for each row and each variant of one ``name``, ``seeds``,
        ``mean`` and ``std`` (the sample standard deviation, absent for a single seed) of
        ``overall``, ``many``, ``medium``, ``few`` (of the ensemble, percent), ``one expert`` (mean
        overall accuracy of the experts alone) and ``seconds_per_epoch`` (all of the training,
        validation included); and for each row ``cost`` and ``runs``, the records.
    """
    lines: list[dict[str, Any]] = []
    for name, variants, records in rows:
        values = [
            {**_accuracies(record['metrics']), 'seconds_per_epoch': _seconds(record)}
            for record in records
        ]
        cost = records[0]['cost'] if records else {}
        seeds = [record['seed'] for record in records]
        lines.append(dict(name=name, seeds=seeds, **_statistics(values), cost=cost, runs=records))
        for variant in variants:
            values = [_accuracies(record['variants'][variant]) for record in records]
            lines.append(dict(name=f'{name}: {variant}', seeds=seeds, **_statistics(values)))
    text = f'# {title}\n\n{_table(lines)}\n\n{_notes(lines)}'
    content = json.dumps(dict(title=title, rows=lines), indent=1)
    for suffix, written in (('.md', text), ('.json', content + '\n')):
        with atomic_write(f'{out}{suffix}') as file:
            file.write(written.encode())
    return lines


def _accuracies(metrics: Mapping[str, float]) -> dict[str, float]:
    ensemble = {key: metrics[f'shot/{key}'] for key in ACCURACIES if f'shot/{key}' in metrics}
    experts = [v for k, v in metrics.items() if re.fullmatch(r'shot/expert\d+/overall', k)]
    return ensemble | ({'one expert': mean(experts)} if experts else {})


def _seconds(record: Mapping[str, Any]) -> float:
    return record['wall_seconds'] / record['epochs']


def _statistics(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    keys = list(values[0]) if values else []
    columns = {key: [value[key] for value in values] for key in keys}
    found = {'mean': {key: mean(column) for key, column in columns.items()}}
    if len(values) > 1:
        found['std'] = {key: stdev(column) for key, column in columns.items()}
    return found


def _table(lines: Sequence[Mapping[str, Any]]) -> str:
    table = Table(box=box.MARKDOWN)
    table.add_column('method')
    for column in ('seeds', *ACCURACIES, 's/epoch', 'parameters', 'multiply-adds', 'views'):
        table.add_column(column, justify='right')
    for line in lines:
        cost = line.get('cost') or {}
        table.add_row(
            line['name'],
            str(len(line['seeds'])),
            *(_cell(line, key) for key in ACCURACIES),
            f'{line["mean"]["seconds_per_epoch"]:.1f}' if cost else '',
            f'{cost["parameters"] / 1e6:.2f} M' if cost else '',
            f'{cost["multiply_adds"] / 1e6:.1f} M' if cost else '',
            str(cost['views']) if cost else '',
        )
    return markdown(table, width=400)


def _cell(line: Mapping[str, Any], key: str) -> str:
    if key not in line['mean']:
        return ''
    spread = f' ± {line["std"][key]:.2f}' if 'std' in line else ''
    return f'{line["mean"][key]:.2f}{spread}'


def _notes(lines: Sequence[Mapping[str, Any]]) -> str:
    """What the numbers are, and what they were measured with."""
    runs = [run for line in lines for run in line.get('runs', ())]
    notes = [
        'Accuracy in percent after the last epoch, mean ± sample standard deviation over the '
        'seeds: of the ensemble (overall, and the mean of the class accuracies of the many-, '
        'medium- and few-shot classes), and of one expert alone (mean over the experts). Seconds '
        'of one epoch, validation included; trained parameters; multiply-adds of the prediction '
        'for one image by all experts; augmented views of an image in a training step.'
    ]
    for heading, key in (('Protocol', 'protocol'), ('Versions', 'versions')):
        different = dict.fromkeys(json.dumps(run[key]) for run in runs)
        notes += [f'{heading}: {_plain(json.loads(text))}.' for text in different]
    return '\n\n'.join(notes) + '\n'


def _plain(node: Any) -> str:
    if not isinstance(node, Mapping):
        return str(node)
    words = [(key.replace('_', ' '), value) for key, value in node.items() if value is not None]
    return ', '.join(
        f'{key} ({_plain(value)})' if isinstance(value, Mapping) else f'{key} {value}'
        for key, value in words
    )

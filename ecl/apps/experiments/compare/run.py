"""Lay methods side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.predictions import collect_predictions
from ecl.apps.experiments.compare.methods import Method, read_methods
from ecl.engine.resume.atomic_file import atomic_write
from ecl.errors import UserError
from ecl.evaluation import Difference, Predictions, between_networks, between_seeds
from ecl.evaluation.table import COLUMNS, markdown
from ecl.shots import THRESHOLDS, shot_groups


def compare(
    paths: Sequence[str | Path], out: str | Path | None = None
) -> dict[str, dict[str, Difference]]:
    """Print methods side by side, and how each differs from the first.

    With two trainings of a method or more, the difference is tested over seeds
    (:func:`~.significance.between_seeds`). With a single training of both, whose checkpoints are
    there, it is tested over the test images (:func:`~.significance.between_networks`), each network
    predicting them anew.

    Args:
        paths: What to compare; see :func:`~ecl.apps.experiments.compare.methods.read_methods`.
        out: Files to write, without extension: ``OUT.md`` and ``OUT.json``.

    Returns:
        For each method after the first the difference by metric.

    Raises:
        UserError: If there is less than two methods, or one cannot be read.
    """
    if out is not None and not Path(out).parent.is_dir():
        raise UserError(f'cannot write {out}: folder {Path(out).parent} does not exist')
    methods = read_methods(paths)
    if len(methods) < 2:
        raise UserError('there is nothing to compare: name at least two trainings or methods')
    first, *others = methods
    predictions = {name: collect_predictions(file) for name, file in _checkpoints(methods).items()}
    differences = {other.name: _differences(first, other, predictions) for other in others}
    text = _text(methods, differences, bool(predictions))
    print(text)
    if out is not None:
        content = {
            'methods': [_summary(method) for method in methods],
            'differences': {
                name: {key: asdict(value) for key, value in columns.items()}
                for name, columns in differences.items()
            },
        }
        for suffix, written in (('.md', text), ('.json', json.dumps(content, indent=1))):
            with atomic_write(f'{out}{suffix}') as file:
                file.write(f'{written}\n'.encode())
    return differences


def _checkpoints(methods: list[Method]) -> dict[str, str]:
    """Whose images stand in for seeds, by name: the first method's and others'; else nobody's."""
    if any(len(method.records) > 1 for method in methods):
        return {}
    found = {
        method.name: checkpoint
        for method in methods
        if method.work_dirs and (checkpoint := latest_checkpoint(method.work_dirs[0]))
    }
    return found if methods[0].name in found and len(found) > 1 else {}


def _differences(
    first: Method, other: Method, predictions: Mapping[str, Predictions]
) -> dict[str, Difference]:
    found = {}
    for column in COLUMNS:
        one, two = (method.values(f'shot/{column}') for method in (first, other))
        if not one or not two:
            continue
        found[column] = between_seeds(one, two)
        if first.name in predictions and other.name in predictions and column != 'balanced':
            pair = predictions[first.name], predictions[other.name]
            images = _images(column, first, *pair)
            found[column] = between_networks(found[column].value, *pair, images)
    return found


def _images(column: str, first: Method, one: Predictions, two: Predictions) -> np.ndarray:
    """The test images that a column is about, a mask (N,)."""
    if one.paths != two.paths or not np.array_equal(one.labels, two.labels):
        raise UserError(f'{first.name} was tested on other images: not to be compared')
    if column == 'overall':
        return np.ones(len(one.labels), dtype=bool)
    record = first.records[0]
    thresholds = record.get('protocol', {}).get('shot_thresholds') or THRESHOLDS
    classes = shot_groups(record.get('class_counts') or (), tuple(thresholds)).get(column, ())
    return np.isin(one.labels, classes)


def _summary(method: Method) -> dict[str, Any]:
    values = {key: method.values(f'shot/{key}') for key in COLUMNS}
    return {
        'name': method.name,
        'seeds': [record.get('seed') for record in method.records],
        'values': {key: column for key, column in values.items() if column},
    }


def _text(
    methods: Sequence[Method],
    differences: Mapping[str, Mapping[str, Difference]],
    by_images: bool,
) -> str:
    columns = [key for key in COLUMNS if any(method.values(f'shot/{key}') for method in methods)]
    accuracies, changes = Table(box=box.MARKDOWN), Table(box=box.MARKDOWN)
    for column in ('accuracy (%)', 'seeds', *columns):
        accuracies.add_column(column, justify='right' if column != 'accuracy (%)' else 'left')
    for method in methods:
        cells = (_cell(method.values(f'shot/{key}')) for key in columns)
        accuracies.add_row(escape(method.name), str(len(method.records)), *cells)
    for column in (f'minus {methods[0].name}', 'points', '95 % interval', 'p'):
        changes.add_column(
            escape(column), justify='left' if column.startswith('minus') else 'right'
        )
    for name, found in differences.items():
        for key, difference in found.items():
            changes.add_row(escape(f'{name}, {key}'), *_change(difference))
    test = (
        "p: McNemar's exact test on the test images; another seed may differ by more"
        if by_images
        else "p and interval: Welch's t-test over seeds; empty with a single seed"
    )
    parts = [markdown(accuracies, 300), markdown(changes, 300), f'{test}.']
    known = (method.records[0].get('protocol') for method in methods)
    protocols = dict.fromkeys(json.dumps(protocol) for protocol in known if protocol)
    if len(protocols) > 1:
        parts.append('NOT THE SAME PROTOCOL:\n' + '\n'.join(protocols))
    return '\n\n'.join(parts)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ''
    return f'{mean(values):.2f}' + (f' ± {stdev(values):.2f}' if len(values) > 1 else '')


def _change(difference: Difference) -> tuple[str, str, str]:
    low_high = difference.interval
    return (
        f'{difference.value:+.2f}',
        f'{low_high[0]:+.2f} to {low_high[1]:+.2f}' if low_high else '',
        '' if difference.p is None else f'{difference.p:.2g}',
    )

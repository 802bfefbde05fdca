"""Compare methods: print accuracies side by side, and test their differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecl.apis.checkpoint import final_checkpoint
from ecl.apis.inference import collect_predictions
from ecl.apps.experiments.table import mean_std, write_results
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import check_folder
from ecl.errors import UserError
from ecl.evaluation import Difference, Predictions, between_networks, between_seeds, markdown_table
from ecl.evaluation.table import COLUMNS
from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization import accuracy_change


@dataclass
class Method:
    """A method and its trainings.

    Attributes:
        name: Its name in the tables.
        records: Content of ``results.json`` of each training, one per seed.
        work_dirs: Folder of each training; empty if there are only records.
    """

    name: str
    records: list[dict[str, Any]]
    work_dirs: list[Path] = field(default_factory=list)

    @property
    def thresholds(self) -> tuple[int, int]:
        """Thresholds of the shot groups of its first training."""
        found = self.records[0].get('protocol', {}).get('shot_thresholds')
        low, high = found or THRESHOLDS
        return low, high

    def values(self, key: str) -> list[float]:
        """Return a metric of each training; empty if a training does not have it."""
        found = [record['metrics'].get(key) for record in self.records]
        return [] if None in found else found


def read_methods(paths: Sequence[str | Path]) -> list[Method]:
    """Read the methods to compare; those of the same name are numbered.

    Args:
        paths: Each is the work dir of a training; a folder of work dirs (seeds of one method); the
            JSON file of a matrix (each row is a method); or ``results.json`` or the output of
            ``tools/test.py``.

    Raises:
        UserError: If one is none of these.
    """
    methods = [method for path in paths for method in _read_path(Path(path))]
    names = [method.name for method in methods]
    for number, method in enumerate(methods, 1):
        if names.count(method.name) > 1:
            method.name = f'{method.name} ({number})'
    return methods


def _read_path(path: Path) -> list[Method]:
    if path.is_dir():
        return [_from_folder(path)]
    if not path.is_file():
        raise UserError(f'{path} does not exist; name a work dir, a results.json or a table.json')
    content = read_json(path)
    if 'rows' in content:
        rows = [row for row in content['rows'] if row.get('runs')]
        return [Method(row['name'], [_checked(run, path) for run in row['runs']]) for row in rows]
    return [Method(str(path), [_checked(content, path)])]


def _from_folder(folder: Path) -> Method:
    name = folder.resolve().name
    if (folder / RECORD).is_file():
        return Method(name, [_checked(read_json(folder / RECORD), folder)], [folder])
    records = sorted(folder.glob(f'*/{RECORD}'))
    if not records:
        raise UserError(f'{folder} and its subfolders contain no {RECORD}: no training has ended')
    folders = [file.parent for file in records]
    return Method(name, [_checked(read_json(file), file) for file in records], folders)


def read_json(path: Path) -> dict[str, Any]:
    """Read a record; raise UserError if it cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read: {error}') from error


def _checked(record: Any, path: Path) -> dict[str, Any]:
    if not isinstance(record, Mapping) or not isinstance(record.get('metrics'), Mapping):
        raise UserError(f'{path} has no metrics: it is not a record of a training or an evaluation')
    return dict(record)


def compare(
    paths: Sequence[str | Path], out: str | Path | None = None
) -> dict[str, dict[str, Difference]]:
    """Print methods side by side, and the difference of each from the first.

    With two or more trainings of a method, the difference is tested over seeds
    (:func:`~ecl.evaluation.between_seeds`). With a single training of each, whose checkpoints
    exist, it is tested over the test images (:func:`~ecl.evaluation.between_networks`), which both
    networks predict again.

    Args:
        paths: What to compare; see :func:`read_methods`.
        out: Files to write, without extension: ``OUT.md`` and ``OUT.json``, and ``OUT.png`` with
            the accuracy of each class by the first method and the last, if both have checkpoints.

    Returns:
        For each method after the first the difference by metric.

    Raises:
        UserError: If there are fewer than two methods, or one cannot be read.
    """
    if out is not None:
        check_folder(out)
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
        write_results(out, text, content)
        figure = _figure(first, others[-1], predictions)
        if figure is not None:
            figure.savefig(f'{out}.png', dpi=150)
    return differences


def _figure(first: Method, last: Method, predictions: Mapping[str, Predictions]) -> Figure | None:
    """Draw the accuracy of each class by two methods, the mean over their trainings."""
    counts = first.records[0].get('class_counts', ())
    means, classes = [], None
    for method in (first, last):
        files = [file for file in map(final_checkpoint, method.work_dirs) if file]
        if len(files) < len(method.records) or not counts:
            return None
        known = predictions.get(method.name)
        found = [known] if known else map(collect_predictions, files)
        means.append(np.mean([p.class_accuracies(len(counts))[0] for p in found], axis=0))
        classes = (load_checkpoint(files[0])['meta'].get('dataset_meta') or {}).get('classes')
    names = (first.name, last.name)
    return accuracy_change(means[0], means[1], counts, names, classes, first.thresholds)


def _checkpoints(methods: list[Method]) -> dict[str, str]:
    """Return the checkpoint of each method if the test is over images; else nothing."""
    if any(len(method.records) > 1 for method in methods):
        return {}
    found = {
        method.name: checkpoint
        for method in methods
        if method.work_dirs and (checkpoint := final_checkpoint(method.work_dirs[0]))
    }
    return found if methods[0].name in found and len(found) > 1 else {}


def _differences(
    first: Method, other: Method, predictions: Mapping[str, Predictions]
) -> dict[str, Difference]:
    found = {}
    for column in ('few', 'medium', 'many', 'overall', 'balanced'):
        one, two = (method.values(f'shot/{column}') for method in (first, other))
        if not one or not two:
            continue
        found[column] = between_seeds(one, two)
        if first.name in predictions and other.name in predictions and column != 'balanced':
            pair = predictions[first.name], predictions[other.name]
            images = _images(column, first, *pair)
            if images.any():
                # The records may have the accuracies on the validation images.
                before, after = (_accuracy(each, images, column) for each in pair)
                found[column] = between_networks(after - before, *pair, images)
    return found


def _accuracy(found: Predictions, images: np.ndarray, column: str) -> float:
    """Return an accuracy in percent: of images, or for a shot group the mean over classes."""
    if column == 'overall':
        return 100 * float(found.right[0].mean())
    classes = np.unique(found.labels[images])
    return float(found.class_accuracies(classes.max() + 1)[0, classes].mean())


def _images(column: str, first: Method, one: Predictions, two: Predictions) -> np.ndarray:
    """Return the test images of a column, a mask (N,)."""
    if one.paths != two.paths or not np.array_equal(one.labels, two.labels):
        raise UserError(f'{first.name} was tested on other images, so the two cannot be compared')
    if column == 'overall':
        return np.ones(len(one.labels), dtype=bool)
    counts = first.records[0].get('class_counts') or ()
    classes = shot_groups(counts, first.thresholds).get(column, ())
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
    accuracies = pd.DataFrame(
        {
            'accuracy (%)': method.name,
            'seeds': len(method.records),
            **{key: mean_std(method.values(f'shot/{key}')) for key in COLUMNS},
        }
        for method in methods
    )
    changes = pd.DataFrame(
        {f'minus {methods[0].name}': f'{name}, {key}', **_change(difference)}
        for name, found in differences.items()
        for key, difference in found.items()
    )
    test = (
        "Points and p (McNemar's exact test): of the test images; another seed may differ by more. "
        'Points without p: of the records'
        if by_images
        else "p and interval: Welch's t-test over seeds; empty with a single seed"
    )
    parts = [
        markdown_table(accuracies.dropna(axis='columns', how='all')),
        markdown_table(changes),
        f'{test}.',
    ]
    for heading, key in (('PROTOCOL', 'protocol'), ('NUMBER OF EPOCHS', 'epochs')):
        found = (record.get(key) for method in methods for record in method.records)
        different = dict.fromkeys(json.dumps(value) for value in found if value)
        if len(different) > 1:
            parts.append(f'NOT THE SAME {heading}:\n' + '\n'.join(different))
    return '\n\n'.join(parts)


def _change(difference: Difference) -> dict[str, str | None]:
    low_high = difference.interval
    return {
        'points': f'{difference.value:+.2f}',
        '95 % interval': f'{low_high[0]:+.2f} to {low_high[1]:+.2f}' if low_high else None,
        'p': None if difference.p is None else f'{difference.p:.2g}',
    }

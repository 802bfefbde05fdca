"""The curves of a training, out of the log that MMEngine keeps for machines."""

import json
from pathlib import Path

import numpy as np

from ecl.evaluation.table import COLUMNS

#: Values by name, each as (where in the training, value).
Curves = dict[str, tuple[np.ndarray, np.ndarray]]


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Read what was logged in a work dir, by every start and resume of the training.

    Args:
        work_dir: Folder of a training.

    Returns:
        One dict for each line of ``*/vis_data/scalars.json``, in the order of the training. Where
        a resume or a new start repeats a stretch, what it logged stands. Lines that a crash cut
        short are left out, and so are tests.
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
    """Whether a line was logged before the step that a later start began with."""
    if 'loss' in line:
        return line['step'] < first['step']
    return line['step'] < first.get('epoch', first['step'])  # a validation counts in epochs


def loss_curves(lines: list[dict[str, float]]) -> Curves:
    """Losses by name, each averaged over the lines of an epoch.

    Args:
        lines: Of :func:`read_scalars`.

    Returns:
        The sum of the losses as ``total``, then its parts where there are several. A training
        counted in steps has one value for each line.
    """
    training = [line for line in lines if 'loss' in line]
    names = [key for key in (training[-1] if training else ()) if 'loss' in key]
    names.sort(key=lambda name: name != 'loss')
    if len(names) == 2:  # the sum has a single part
        names = names[:1]
    place = [line.get('epoch', line['step']) for line in training]
    return {
        'total' if name == 'loss' else name.replace('_', ' ').removesuffix(' loss'): _averaged(
            place, [line.get(name, np.nan) for line in training]
        )
        for name in names
    }


def accuracy_curves(lines: list[dict[str, float]], prefix: str = 'shot') -> Curves:
    """Validation accuracies of the ensemble: overall, many, medium and few.

    Args:
        lines: Of :func:`read_scalars`.
        prefix: That of the metric's keys.

    Returns:
        Percentages by group, less the groups that were never validated.
    """
    curves = {}
    for name in COLUMNS[:4]:
        points = [(x['step'], x[f'{prefix}/{name}']) for x in lines if f'{prefix}/{name}' in x]
        if points:
            curves[name] = tuple(np.array(points, dtype=float).T)
    return curves


def _averaged(place: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    places, index = np.unique(place, return_inverse=True)
    sums = np.bincount(index, weights=values)
    return places, sums / np.bincount(index)

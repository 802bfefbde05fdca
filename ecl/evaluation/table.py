"""Tables of results as Markdown text, such as the many / medium / few table."""

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

COLUMNS = ('overall', 'many', 'medium', 'few', 'balanced')
#: Expected calibration error; see :func:`ecl.evaluation.calibration_errors`.
ECE = 'ECE'
#: Prefixes of the metrics that this package computes, and shows in tables of their own.
OWN = ('shot/', 'calibration/', 'distribution/', 'balance/')


def markdown_table(frame: pd.DataFrame) -> str:
    """Write a data frame as a Markdown table.

    Args:
        frame: One column for each column of the table; the index is left out.

    Returns:
        Plain text, lines of equal width. Columns of numbers are aligned right, others left.
        Floating-point numbers have two decimals; '-' means NaN or None.

    Example:
        >>> print(markdown_table(pd.DataFrame({'method': ['ours'], 'few': [12.5]})))
        | method   |   few |
        |:---------|------:|
        | ours     | 12.50 |
    """
    cells = frame.astype(object).map(_cell)
    numbers = cells.apply(lambda column: column.str.match(r'([-+]?\d.*|-|)$').all())
    align = ['right' if right else 'left' for right in numbers]
    return cells.to_markdown(index=False, tablefmt='pipe', disable_numparse=True, colalign=align)


def metric_table(metrics: Mapping[str, float], prefix: str = 'shot') -> str:
    """Write the results of :class:`ShotAccuracy` as a Markdown table.

    Args:
        metrics: Percentages under the keys of :class:`ShotAccuracy`, and the calibration errors
            ``calibration/ECE`` and ``calibration/expert0/ECE``, ...; other keys are ignored.
        prefix: The prefix of those keys.

    Returns:
        One row for the ensemble, one for each expert, and one for each kind of classifier where an
        expert has two; columns overall, many, medium, few, balanced and ECE, without those that
        have no value. A single expert has no extra row, because it is the model. On balanced data
        there is no column balanced, because it equals overall. Lines have fewer than 80 characters.
        Empty if there is no such key.

    Example:
        >>> print(metric_table({'shot/overall': 50.0, 'shot/few': 12.5}))
        | accuracy (%)   |   overall |   few |
        |:---------------|----------:|------:|
        | model          |     50.00 | 12.50 |
    """
    rows: dict[str, dict[str, float]] = {}
    names = '|'.join((*COLUMNS, ECE))
    pattern = re.compile(
        rf'(?:{re.escape(prefix)}|calibration)/(?:(expert\d+|label|distill)/)?({names})'
    )
    for key, value in metrics.items():
        if match := pattern.fullmatch(key):
            source, column = match.groups()
            rows.setdefault(_row_name(source or ''), {})[column] = value
    if not rows:
        return ''
    if list(rows) == ['', 'expert 0']:
        del rows['expert 0']
    frame = pd.DataFrame.from_dict(rows, orient='index')
    if 'balanced' in frame and np.allclose(frame['balanced'], frame.get('overall', np.nan)):
        frame = frame.drop(columns='balanced')
    frame = frame[[name for name in (*COLUMNS, ECE) if name in frame]]
    whole = 'ensemble' if len(rows) > 1 else 'model'
    frame.insert(0, 'accuracy (%)', [label or whole for label in rows])
    return markdown_table(frame)


def accuracy_interval(metrics: Mapping[str, float], num_images: int) -> tuple[float, float] | None:
    """Compute the 95 % Wilson interval of the overall accuracy.

    It does not include the variation between seeds.

    Args:
        metrics: Percentages under the keys of :class:`ShotAccuracy`.
        num_images: Number of test images.

    Returns:
        The lower and the upper end in percent, or None without an overall accuracy.
    """
    overall = metrics.get('shot/overall')
    if overall is None or not num_images:
        return None
    test = binomtest(round(overall / 100 * num_images), num_images)
    low, high = test.proportion_ci(method='wilson')
    return 100 * float(low), 100 * float(high)


def interval_line(metrics: Mapping[str, float], num_images: int) -> str:
    """Describe :func:`accuracy_interval` in one line; empty without an overall accuracy.

    Example:
        >>> interval_line({'shot/overall': 90.0}, 50)
        '95 % interval of the overall accuracy on 50 images: 78.6 to 95.7'
    """
    interval = accuracy_interval(metrics, num_images)
    if interval is None:
        return ''
    low, high = interval
    return (
        f'95 % interval of the overall accuracy on {num_images:,} images: {low:.1f} to {high:.1f}'
    )


def further_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among the metrics that are not of this package, such as accuracy/top1."""
    return {
        key: float(value)
        for key, value in metrics.items()
        if isinstance(value, Real) and not key.startswith(OWN)
    }


def further_line(metrics: Mapping[str, Any]) -> str:
    """List :func:`further_metrics` in one line; empty if there are none.

    Example:
        >>> further_line({'shot/overall': 50.0, 'accuracy/top1': 50.0, 'worst/class': 12.5})
        'further metrics: accuracy/top1 50, worst/class 12.5'
    """
    listed = ', '.join(f'{key} {value:.4g}' for key, value in further_metrics(metrics).items())
    return listed and f'further metrics: {listed}'


def _row_name(source: str) -> str:
    """Return the name of the row of a part of the model, '' for the whole."""
    if source in ('label', 'distill'):
        return f'{source} classifiers'
    return source.replace('expert', 'expert ')


def _cell(value: Any) -> str:
    if pd.isna(value):
        return '-'
    return f'{value:.2f}' if isinstance(value, float) else str(value).replace('|', r'\|')

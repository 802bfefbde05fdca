"""The many / medium / few table, as text."""

import io
import re
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

COLUMNS = ('overall', 'many', 'medium', 'few', 'balanced')
#: Expected calibration error; see :func:`ecl.evaluation.calibration_errors`.
ECE = 'ECE'


def metric_table(metrics: Mapping[str, float], prefix: str = 'shot') -> str:
    """Lay out the results of :class:`ShotAccuracy` as a Markdown table.

    Args:
        metrics: Percentages under the keys of :class:`ShotAccuracy`, and the calibration errors
            ``calibration/ECE`` and ``calibration/expert0/ECE``, ...; other keys are ignored.
        prefix: The prefix of those keys.

    Returns:
        One row for the ensemble and one for each expert; columns overall, many, medium, few,
        balanced, ECE, less those without any value. Plain text, lines of equal width, less than 80
        characters wide. Empty if there is no such key.

    Example:
        >>> print(metric_table({'shot/overall': 50.0, 'shot/few': 12.5}))
        | accuracy (%) | overall |   few |
        |--------------|---------|-------|
        | model        |   50.00 | 12.50 |
    """
    rows: dict[str, dict[str, float]] = {}
    names = '|'.join((*COLUMNS, ECE))
    pattern = re.compile(rf'(?:{re.escape(prefix)}|calibration)/(?:expert(\d+)/)?({names})')
    for key, value in metrics.items():
        if match := pattern.fullmatch(key):
            expert, column = match.groups()
            rows.setdefault('' if expert is None else f'expert {expert}', {})[column] = value
    if not rows:
        return ''
    whole = 'ensemble' if len(rows) > 1 else 'model'
    columns = [name for name in (*COLUMNS, ECE) if any(name in row for row in rows.values())]
    table = Table(box=box.MARKDOWN)
    table.add_column('accuracy (%)')
    for name in columns:
        table.add_column(name, justify='right')
    for label, row in rows.items():
        cells = [f'{row[name]:.2f}' if name in row else '-' for name in columns]
        table.add_row(label or whole, *cells)
    return markdown(table, width=79)


def markdown(table: Table, width: int) -> str:
    """Render a table of rich as Markdown.

    Args:
        table: A table with ``box.MARKDOWN``.
        width: Characters of a line at most.

    Returns:
        Plain text, lines of equal width.
    """
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    lines = text.getvalue().splitlines()
    return '\n'.join(line for line in lines if line.strip())

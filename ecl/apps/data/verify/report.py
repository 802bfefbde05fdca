"""What an examination of the data found."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

_SHOWN = 10
#: Kinds of fault, and what they are called in print.
KINDS = {
    'source': 'Data that cannot be read',
    'labels': 'Labels out of range',
    'empty': 'Classes without training images',
    'repeated': 'Lines that name an image again',
    'public': 'Unlike the public list of this name',
    'images': 'Image files missing or damaged',
    'ambiguous': 'Images trained on under several labels',
    'leak': 'Images trained on and tested on',
}


@dataclass
class Report:
    """The outcome of :func:`~ecl.apps.data.verify.check_data`; plain values throughout.

    Attributes:
        config: The configuration file.
        splits: 'train', 'val', 'test' (or 'val, test' where they are the same data) -> protocol,
            ``largest`` and ``smallest`` class size.
        faults: Kind of fault, of ``KINDS`` -> one line each, naming file, line or class.
        notes: What is worth knowing but no fault, one line each.
    """

    config: str
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


def print_report(report: Report, console: Console | None = None) -> None:
    """Print a report: a table of the splits, then notes, then the first faults of each kind.

    Args:
        report: The report.
        console: Where to print. Defaults to the standard output.
    """
    console = console or Console()
    table = Table(title=f'Data of {report.config}')
    for name in ('split', 'images', 'classes', 'largest', 'smallest'):
        table.add_column(name, justify='left' if name == 'split' else 'right')
    for split, record in report.splits.items():
        keys = ('num_images', 'num_classes', 'largest', 'smallest')
        table.add_row(split, *(f'{record[key]:,}' for key in keys))
    console.print(table)

    def line(text: str) -> None:
        # Names are the user's, and no markup.
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for note in report.notes:
        line(f'note: {note}')
    for kind, faults in report.faults.items():
        line(f'{KINDS[kind]} ({len(faults)}, kind {kind!r}):')
        for fault in faults[:_SHOWN]:
            line(f'  {fault}')
        if len(faults) > _SHOWN:
            line(f'  and {len(faults) - _SHOWN} more (all of them with --json)')
    line('No fault found.' if report.sound else 'Faults found: mend the data before training.')

"""Print a summary: counts, shot groups, images that were left out, the next command."""

import math
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ecl.apps.data.prepare_folder import Prepared, escape_path
from ecl.datasets.class_names import shorten
from ecl.shots import shot_groups

#: Files that the summary names.
_NAMED = 5
#: Half of the 95 % interval of an accuracy, in points, above which the summary prints it.
_WIDE = 10


def print_summary(prepared: Prepared, console: Console | None = None) -> None:
    """Print counts, shot groups and the images that were left out.

    Args:
        prepared: Result of :func:`~ecl.apps.data.prepare_folder.prepare_images`.
        console: Where to print. Defaults to the standard output.
    """
    console = console or Console()
    counts = {split: prepared.counts(split) for split in ('train', 'val', 'test')}
    groups = shot_groups(counts['train'])
    table = Table(title=f'{len(prepared.classes)} classes')
    table.add_column('training images')
    for name in ('classes', *counts):
        table.add_column(name, justify='right')
    for group, classes in groups.items():
        table.add_row(
            f'{group}-shot ({_range([counts["train"][label] for label in classes])})',
            str(len(classes)),
            *(str(sum(numbers[label] for label in classes)) for numbers in counts.values()),
        )
    table.add_section()
    table.add_row('all', str(len(prepared.classes)), *(str(sum(n)) for n in counts.values()))
    lines = [_extremes(prepared, counts['train'])]
    if prepared.kinds:
        kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(prepared.kinds.items()))
        lines.append(f'Read as 8-bit colour on white, animations by their first frame: {kinds}')
    if prepared.division:
        lines.append(prepared.division)
    if untested := [c for c, n in zip(prepared.classes, counts['test'], strict=True) if not n]:
        lines.append(f'Classes without test images: {shorten(untested)}')
    lines += _precision(prepared)
    if prepared.similar:
        held_out = sum(counts['val'] + counts['test'])
        # An existing split is kept, even if groups are given.
        advice = '' if prepared.division else '; keep related images in one split with --group-by'
        lines.append(
            f'{len(prepared.similar)} of {held_out} test and validation images look like a '
            f'training image (pairs in {prepared.out / "similar.txt"}). Accuracy on them is '
            f'not reliable{advice}.'
        )
    left_out = prepared.split.left_out
    if left_out:
        lines.append(f'Left out: {len(left_out)} files (all in {prepared.out / "left_out.txt"})')
        lines += [f'  {escape_path(path)}: {left_out[path]}' for path in sorted(left_out)[:_NAMED]]
    lines += prepared.notes
    if (prepared.out / 'probe.py').is_file():
        lines.append(f'Linear probe, in minutes: ecl train {_quoted(prepared.out / "probe.py")}')
    lines.append(f'Train with: ecl train {_quoted(prepared.out / "config.py")}')
    console.print(table)
    # Paths and class names are not markup, and a path must not be wrapped.
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _precision(prepared: Prepared) -> list[str]:
    """Describe the precision with few test images: 95 % interval at an accuracy of 50 %."""
    tested, trained = len(prepared.split.test), len(prepared.split.train)
    half_width = 98 / math.sqrt(max(1, tested))
    if half_width <= _WIDE:
        return []
    more = ''
    if not prepared.division and tested < 0.2 * (tested + trained):
        more = ' Use --test-fraction 0.2 for more test images.'
    return [
        f'{tested} test images: the 95 % interval of an accuracy is about +/- {half_width:.0f} '
        f'points.{more}'
    ]


def _range(counts: list[int]) -> str:
    return f'{max(counts)} to {min(counts)}'


def _extremes(prepared: Prepared, counts: list[int]) -> str:
    most, least = counts.index(max(counts)), counts.index(min(counts))
    return (
        f'Largest class: {prepared.classes[most]} ({counts[most]}); smallest: '
        f'{prepared.classes[least]} ({counts[least]}); imbalance factor '
        f'{counts[most] / counts[least]:.3g}'
    )

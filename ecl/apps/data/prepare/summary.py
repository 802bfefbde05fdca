"""What was prepared, as a table in the terminal."""

from rich.console import Console
from rich.table import Table

from ecl.apps.data.prepare.folder import Prepared
from ecl.shots import shot_groups

_NAMED = 5


def print_summary(prepared: Prepared, console: Console | None = None) -> None:
    """Print counts, shot groups and the images left out.

    Args:
        prepared: What :func:`~ecl.apps.data.prepare.prepare_folder` returned.
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
        lines.append(f'Read as 8-bit colour, animations by their first frame: {kinds}')
    left_out = prepared.split.left_out
    if left_out:
        lines.append(f'Left out: {len(left_out)} images (all in {prepared.out / "left_out.txt"})')
        lines += [f'  {path}: {left_out[path]}' for path in sorted(left_out)[:_NAMED]]
    lines.append(f'Train with: python tools/train.py {prepared.out / "config.py"}')
    console.print(table)
    # Paths and class names are the user's: they are not markup, and a path must stay in one piece.
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _range(counts: list[int]) -> str:
    return f'{max(counts)} to {min(counts)}'


def _extremes(prepared: Prepared, counts: list[int]) -> str:
    most, least = counts.index(max(counts)), counts.index(min(counts))
    return (
        f'Largest class: {prepared.classes[most]} ({counts[most]}); smallest: '
        f'{prepared.classes[least]} ({counts[least]}); imbalance factor '
        f'{counts[most] / counts[least]:.3g}'
    )

"""The report of one or several trainings as a page that needs nothing but itself."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ecl.apps.report.metrics import headline
from ecl.apps.report.panels import TOPICS, Panel
from ecl.apps.report.run import Run, read_run
from ecl.apps.report.samples import sample_images
from ecl.apps.report.svg import PALETTE, inline_svg, page_style, variable
from ecl.engine.resume.atomic_file import atomic_write
from ecl.errors import UserError
from ecl.evaluation.table import COLUMNS, ECE

DEFAULT_NAME = 'report.html'


def report(work_dirs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write a page about one training, or about several side by side.

    Args:
        work_dirs: Folders that trainings wrote, each with a checkpoint.
        out: The HTML file. By default ``report.html``, in the work dir if there is one only.

    Returns:
        The file. It loads nothing from anywhere, so it can be sent and archived alone.

    Raises:
        UserError: If a work dir holds no training, its data cannot be read, or the file's folder
            does not exist.

    Example:
        >>> report(['work_dirs/ecl_r8_digits-lt'])  # doctest: +SKIP
        PosixPath('work_dirs/ecl_r8_digits-lt/report.html')
    """
    if out is None:
        out = Path(work_dirs[0]) / DEFAULT_NAME if len(work_dirs) == 1 else DEFAULT_NAME
    out = Path(out)
    if out.is_dir() or (out.parent.exists() and not out.parent.is_dir()):
        raise UserError(f'cannot write {out}: it is a folder, or its folder is a file')
    runs = [read_run(work_dir) for work_dir in work_dirs]
    text = _render(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        file.write(text.encode())
    return out


def _render(runs: Sequence[Run]) -> str:
    environment = Environment(
        loader=PackageLoader('ecl.apps.report', ''),
        autoescape=select_autoescape(['html']),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with page_style():
        topics = [
            dict(
                title=topic.title,
                guide=topic.guide,
                panels=[
                    _panel(topic.draw(run), topic.title, run.name, f'{row}-{column}')
                    for column, run in enumerate(runs)
                ],
            )
            for row, topic in enumerate(TOPICS)
        ]
    tables = [headline(run) for run in runs]
    known = {column for table in tables for row in table.values() for column in row}
    return environment.get_template('report.html').render(
        runs=runs,
        colours={variable(colour): shades for colour, shades in PALETTE.items()},
        columns=[column for column in (*COLUMNS, ECE) if column in known],
        tables=tables,
        facts=[_facts(run) for run in runs],
        topics=topics,
        samples=[sample_images(run) for run in runs],
    )


def _panel(panel: Panel, title: str, name: str, salt: str) -> dict[str, Any]:
    if panel.figure is None:
        return dict(svg=None, text=panel.text)
    alt = f'{title}, {name}. {panel.text}'
    return dict(svg=Markup(inline_svg(panel.figure, alt, salt)), text=panel.text)


def _facts(run: Run) -> dict[str, str]:
    """The protocol and circumstances of a run, in words."""
    counts, record, protocol = run.class_counts, run.record, run.protocol
    tested = protocol['evaluated']
    low, high = run.thresholds
    facts = {
        'configuration': record.get('config'),
        'training data': ', '.join(
            str(protocol[key]) for key in ('source', 'list', 'subset') if protocol.get(key)
        ),
        'training images': f'{counts.sum():,} in {len(counts):,} classes, {counts.max():,} to '
        f'{counts.min():,} a class',
        'shot groups': f'many: more than {high} training images, few: less than {low}',
        'tested on': f'{tested["num_images"]:,} images of {tested["source"]}'
        + (f' ({tested["split"]})' if tested.get('split') else ''),
        'checkpoint': f'{run.checkpoint.name}, the latest',
        'seed': record.get('seed'),
        'time': record and f'{timedelta(seconds=round(record["wall_seconds"]))} h',
        'versions': ', '.join(f'{k} {v}' for k, v in record.get('versions', {}).items()),
    }
    if not record:
        facts['note'] = 'results.json is missing: the training has not come to its end'
    return {key: str(value) for key, value in facts.items() if value not in (None, '', {})}

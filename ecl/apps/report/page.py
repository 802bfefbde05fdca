"""Write the report of one or several trainings as one HTML page."""

import base64
import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from ecl.apps.report.panels import TOPICS, Panel
from ecl.apps.report.run import Run, read_run
from ecl.engine.resume.atomic_file import write_text
from ecl.errors import UserError
from ecl.evaluation import ShotAccuracy, accuracy_interval, calibration_errors
from ecl.evaluation.table import COLUMNS, ECE
from ecl.shots import shot_groups
from ecl.visualization import font_families

INK = '#24292f'
#: Colours of a figure, each with its replacements on a light and on a dark page.
PALETTE = {
    INK: ('#24292f', '#e6e6e6'),
    '#333333': ('#24292f', '#e6e6e6'),
    '#e6e6e6': ('#e3e5e8', '#33383f'),
    '#ffffff': ('#ffffff', '#1b1e23'),
    '#0072b2': ('#0072b2', '#56b4e9'),
    '#e69f00': ('#d98e00', '#f0b429'),
    '#d55e00': ('#b03a00', '#ff7a45'),
    '#009e73': ('#008a65', '#2fc79a'),
    '#cc79a7': ('#b85b90', '#e39cc4'),
    '#56b4e9': ('#2f8fc7', '#8fd0f5'),
    '#8c6bb1': ('#7a57a3', '#b79ad6'),
    '#7f7f7f': ('#6e7781', '#9aa4af'),
}


def page_style() -> AbstractContextManager:
    """Return the settings of Matplotlib for the figures of the page."""
    ink: tuple[Any, ...] = (
        'text.color',
        'axes.edgecolor',
        'axes.labelcolor',
        'xtick.color',
        'ytick.color',
    )
    return rc_context(
        {
            **dict.fromkeys(ink, INK),
            'font.family': font_families(),
            'font.size': 9.5,
            'axes.labelsize': 9.5,
            'xtick.labelsize': 9,
            'ytick.labelsize': 9,
            'legend.fontsize': 9,
            # Text stays text, for screen readers, copying and the font of the page.
            'svg.fonttype': 'none',
        }
    )


def inline_svg(figure: Figure, alt: str, salt: str) -> str:
    """Turn a figure into an SVG element whose colours follow the page.

    Args:
        figure: Drawn under :func:`page_style`.
        alt: Text of the figure for screen readers.
        salt: Name that is unique on the page, so that the figures' inner names do not clash.

    Returns:
        ``<svg ...>``, the same for the same figure.
    """
    file = io.StringIO()
    metadata = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
    with rc_context({'svg.hashsalt': salt}):
        figure.savefig(file, format='svg', transparent=True, metadata=metadata)
    text = file.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r' id="[\w.]+_\d+"', '', text)  # nothing refers to these
    for colour in PALETTE:
        text = re.sub(colour, f'var({variable(colour)})', text, flags=re.IGNORECASE)
    label = escape(alt, quote=True)
    return text.replace('<svg', f'<svg role="img" aria-label="{label}"', 1)


def variable(colour: str) -> str:
    """Return the CSS variable of a colour of :data:`PALETTE`."""
    return f'--c{colour.lstrip("#")}'


def headline(run: Run) -> dict[str, dict[str, float]]:
    """Compute accuracies and calibration error of each predictor, in percent.

    Args:
        run: A run.

    Returns:
        By the name of the predictor, the model as a whole first: ``overall``, ``balanced`` if it
        differs, those of ``many``, ``medium`` and ``few`` that there are, and ``ECE``.
    """
    predictions = run.predictions
    metric = ShotAccuracy(run.thresholds, class_counts=run.class_counts.tolist())
    errors = calibration_errors(predictions)
    rows = {}
    for name, predicted, error in zip(
        predictions.names, predictions.predicted, errors, strict=True
    ):
        accuracies = metric.compute_metrics(np.stack([predictions.labels, predicted], 1).tolist())
        rows[name] = {**accuracies, ECE: float(error)}
    if list(rows) == ['ensemble', 'expert 0']:  # the same
        rows = {'model': rows['ensemble']}
    if all(np.isclose(row['balanced'], row['overall']) for row in rows.values()):
        for row in rows.values():
            del row['balanced']
    return rows


#: Images of each kind in each shot group.
PER_GROUP = 4
#: Longest side of an image on the page, in pixels.
SIDE = 160


@dataclass
class Sample:
    """Test image with its prediction.

    Attributes:
        source: The image as a data address.
        true: Name of its class.
        predicted: Name of the predicted class.
        confidence: Probability of that, in percent.
        right: Whether the two are the same.
    """

    source: str
    true: str
    predicted: str
    confidence: float
    right: bool


def sample_images(run: Run) -> dict[str, list[Sample]]:
    """Draw right and wrong images of each shot group at random (seed 0).

    Args:
        run: A run.

    Returns:
        By group, up to four that are right, then up to four that are wrong.
    """
    labels, right = run.predictions.labels, run.predictions.right[0]
    rng = np.random.default_rng(0)
    samples = {}
    for group, classes in shot_groups(run.class_counts, run.thresholds).items():
        members = np.isin(labels, classes)
        drawn = [
            rng.permutation(np.flatnonzero(members & kind))[:PER_GROUP] for kind in (right, ~right)
        ]
        if members.any():
            samples[group] = [_sample(run, int(index)) for index in np.concatenate(drawn)]
    return samples


def _sample(run: Run, index: int) -> Sample:
    predictions = run.predictions
    return Sample(
        source=data_address(run.dataset, index, run.to_rgb),
        true=run.class_names[predictions.labels[index]],
        predicted=run.class_names[predictions.predicted[0, index]],
        confidence=100 * float(predictions.confidence[0, index]),
        right=bool(predictions.right[0, index]),
    )


def data_address(dataset: Any, index: int, to_rgb: bool) -> str:
    """Return an image of a data set, as the network gets it, as a data address for a page.

    Args:
        dataset: A data set whose pipeline ends in ``PackInputs``.
        index: Place of the image.
        to_rgb: Whether the model takes the images for BGR.
    """
    pixels = np.asarray(dataset[index]['inputs']).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1] if to_rgb else pixels))
    image.thumbnail((SIDE, SIDE))
    kind = 'png' if max(image.size) <= 64 else 'jpeg'
    file = io.BytesIO()
    image.save(file, format=kind)
    return f'data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}'


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
    if len({run.name for run in runs}) < len(runs):  # seeds of several methods
        parents = [Path(work_dir).resolve().parent.name for work_dir in work_dirs]
        runs = [
            replace(run, name=f'{parent}, {run.name}')
            for run, parent in zip(runs, parents, strict=True)
        ]
    text = _render(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out


def template(name: str) -> Template:
    """Load a template of a page."""
    environment = Environment(
        loader=PackageLoader('ecl.apps.report', ''),
        autoescape=select_autoescape(['html']),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colours = {variable(colour): shades for colour, shades in PALETTE.items()}
    return environment.get_template(name, globals={'colours': colours})


def _render(runs: Sequence[Run]) -> str:
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
    return template('report.html').render(
        runs=runs,
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
    return dict(svg=inline_svg(panel.figure, alt, salt), text=panel.text)


def _facts(run: Run) -> dict[str, str]:
    """Return the protocol and circumstances of a run, as text."""
    counts, record, protocol = run.class_counts, run.record, run.protocol
    tested = protocol['evaluated']
    low, high = run.thresholds
    right = run.predictions.right[0]
    # The record may have the accuracy on the validation images.
    interval = accuracy_interval({'shot/overall': 100 * right.mean()}, len(right)) or ()
    facts = {
        'configuration': record.get('config'),
        'training data': ', '.join(
            str(protocol[key]) for key in ('source', 'list', 'subset') if protocol.get(key)
        ),
        'training images': f'{counts.sum():,} in {len(counts):,} classes, {counts.max():,} to '
        f'{counts.min():,} per class',
        'shot groups': f'many: more than {high} training images, few: fewer than {low}',
        'tested on': f'{tested["num_images"]:,} images of {tested["source"]}'
        + (f' ({tested["split"]})' if tested.get('split') else ''),
        'overall accuracy': interval
        and f'{interval[0]:.1f} to {interval[1]:.1f} % (95 % interval)',
        'checkpoint': run.checkpoint.name,
        'seed': record.get('seed'),
        'time': record and f'{timedelta(seconds=round(record["wall_seconds"]))} h',
        'machine': record.get('machine', {}).get('device'),
        'versions': ', '.join(f'{k} {v}' for k, v in record.get('versions', {}).items()),
    }
    if not record:
        facts['note'] = 'results.json is missing: the training has not ended'
    return {key: str(value) for key, value in facts.items() if value not in (None, '', {})}

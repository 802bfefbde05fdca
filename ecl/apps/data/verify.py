"""Verify the data of a configuration before training."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from ecl.apis.config import load_config
from ecl.apis.config_check import value_at
from ecl.apps.data.scan import image_keys, inspect_all
from ecl.apps.data.similar import similar_images
from ecl.datasets import ImageList, count_classes, describe, gt_labels
from ecl.datasets.class_names import check_same_classes, class_names, read_text
from ecl.datasets.image_file import ImageFacts
from ecl.datasets.in_memory import without_transforms
from ecl.datasets.protocol import PUBLIC_LISTS, leaves
from ecl.errors import UserError
from ecl.registry import DATASETS

_SHOWN = 10
#: Kinds of fault, and their titles in the report.
KINDS = {
    'source': 'Data that cannot be read',
    'labels': 'Labels out of range',
    'empty': 'Classes without training images',
    'repeated': 'Images that a list contains twice',
    'public': 'Lists that differ from the public list of this name',
    'images': 'Image files missing or damaged',
    'ambiguous': 'Training images with several labels',
    'leak': 'Images in both training and test data',
}


@dataclass
class Report:
    """Result of :func:`check_data`, in plain values.

    Attributes:
        config: The configuration file.
        splits: 'train', 'val', 'test' (or 'val, test' where they are the same data) -> protocol,
            ``largest`` and ``smallest`` class size.
        faults: Kind of fault, of ``KINDS`` -> one line each, naming file, line or class.
        notes: Remarks that are not faults, one line each.
    """

    config: str
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True if there are no faults."""
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
        # Names are not markup.
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for note in report.notes:
        line(f'note: {note}')
    for kind, faults in report.faults.items():
        line(f'{KINDS[kind]} ({len(faults)}, kind {kind!r}):')
        for fault in faults[:_SHOWN]:
            line(f'  {fault}')
        if len(faults) > _SHOWN:
            line(f'  and {len(faults) - _SHOWN} more (all of them with --json)')
    line('No fault found.' if report.sound else 'Faults found: correct the data before training.')


#: Cache in the work dir; a second check reads only changed files.
MEMORY = 'checked_images.jsonl'


def check_data(
    config: str | Path,
    work_dir: str | Path | None = None,
    workers: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    accept: Sequence[str] = (),
) -> Report:
    """Examine the training, validation and test data of a configuration.

    The checks are: lists can be parsed and contain no image twice; labels are below
    ``num_classes``; every class has a training image; every image file exists and can be decoded;
    no image is both a training and a test image, copies included; a list with a public name has the
    public counts.

    Args:
        config: A configuration; see :func:`~ecl.apis.config.load_config`.
        work_dir: Folder of the training, which stores the results for the next check.
        workers: Threads that read images.
        cfg_options: Values by dotted key that replace those of the file.
        accept: Kinds of fault, of ``KINDS``, to report as notes. Published data have known faults,
            such as the copies between CIFAR's training and test images.

    Returns:
        The report.

    Raises:
        UserError: If the configuration itself cannot be used.
    """
    cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
    init_default_scope(cfg.get('default_scope') or 'ecl')
    report = Report(str(config))
    datasets = _build(cfg, report)
    num_classes = value_at(cfg, 'model.head.num_classes')
    trained = next((data for split, data in datasets.items() if split.startswith('train')), None)
    classes = class_names(trained)
    for split, dataset in list(datasets.items()):
        try:
            if not split.startswith('train'):
                check_same_classes(classes, class_names(dataset), 'the data')
            counts = count_classes(dataset, num_classes)
        except UserError as error:
            report.faults['labels'].append(f'{split}: {error}')
            counts = count_classes(dataset)
        _examine_counts(split, dataset, counts, report)
        _examine_lists(dataset, report)
    keys = {split: image_keys(dataset) for split, dataset in datasets.items()}
    for split in [split for split, found in keys.items() if not found]:
        del keys[split], datasets[split]
        report.notes.append(
            f'{split}: images are not examined, because get_data_info gives neither img_path nor '
            'img'
        )
    everything = (key for members in keys.values() for key in members)
    facts = inspect_all(everything, Path(cfg.work_dir) / MEMORY, workers)
    _examine_images(facts, report)
    _examine_copies(datasets, keys, facts, report)
    for kind in accept:
        accepted = report.faults.pop(kind, ())
        report.notes += [f'accepted: {fault}' for fault in accepted]
    report.faults = {kind: faults for kind, faults in report.faults.items() if faults}
    return report


def _build(cfg: Config, report: Report) -> dict[str, Any]:
    """Build data sets without pipelines; splits with equal configurations get one name."""
    names: dict[str, list[str]] = defaultdict(list)
    configs = {}
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            bare = without_transforms(loader['dataset'])
            names[repr(bare)].append(split)
            configs[repr(bare)] = bare
    datasets = {}
    for key, bare in configs.items():
        split = ', '.join(names[key])
        try:
            # Log lines of a dataset must not mix with the report on standard output.
            with redirect_stdout(sys.stderr):
                datasets[split] = DATASETS.build(bare)
                count_classes(datasets[split])
            for leaf in leaves(datasets[split]):
                report.notes += getattr(leaf, 'notes', ())
        except UserError as error:
            datasets.pop(split, None)
            report.faults['source'].append(f'{split}: {error}')
    return datasets


def _examine_counts(split: str, dataset: Any, counts: list[int], report: Report) -> None:
    sizes = dict(largest=max(counts), smallest=min(counts))
    report.splits[split] = describe(dataset) | sizes
    empty = [label for label, count in enumerate(counts) if not count]
    if not empty:
        return
    names = class_names(dataset)
    if split.startswith('train'):
        report.faults['empty'] += [
            f'{split}: class {label}' + (f' ({names[label]})' if names else '') for label in empty
        ]
    else:
        report.notes.append(
            f'{split} has no image of {len(empty)} of the {len(counts)} classes; means over '
            'classes leave them out'
        )


def _examine_lists(dataset: Any, report: Report) -> None:
    for leaf in leaves(dataset):
        if isinstance(leaf, ImageList):
            text = read_text(Path(leaf.ann_file).read_bytes(), leaf.ann_file)
            report.faults['repeated'] += repeated_lines(text, leaf.ann_file)
            report.faults['public'] += filter(None, [unlike_public(leaf)])
            report.notes.append(f'list: {leaf.list_record}')


def _examine_images(facts: dict[str, ImageFacts], report: Report) -> None:
    report.faults['images'] += [
        f'{key}: {found.fault}' for key, found in facts.items() if found.fault
    ]
    kinds = Counter(found.kind for found in facts.values() if found.kind and not found.fault)
    if kinds:
        words = ', '.join(f'{number} {kind}' for kind, number in sorted(kinds.items()))
        report.notes.append(
            f'read as 8-bit colour on white, animations by their first frame: {words}'
        )


def _examine_copies(
    datasets: dict[str, Any],
    keys: dict[str, list[str]],
    facts: dict[str, ImageFacts],
    report: Report,
) -> None:
    """Find test images that are or look like training images, and images of several labels."""
    trained: dict[str, str] = {}
    labels: dict[str, set[int]] = defaultdict(set)
    copies = 0
    for split in datasets:
        if split.startswith('train'):
            given = gt_labels(datasets[split]).tolist()
            for key, label in zip(keys[split], given, strict=True):
                digest = facts[key].digest
                if digest:
                    copies += trained.setdefault(digest, key) != key
                    labels[digest].add(label)
    report.faults['ambiguous'] += [
        f'{trained[digest]} and copies of it: labels {", ".join(map(str, sorted(several)))}'
        for digest, several in labels.items()
        if len(several) > 1
    ]
    if copies:
        report.notes.append(f'{copies} training images are copies of others')
    for split in datasets:
        if not split.startswith('train'):
            report.faults['leak'] += [
                f'{split}: {key} is {trained[facts[key].digest]} of the training data'
                for key in dict.fromkeys(keys[split])
                if facts[key].digest in trained
            ]
    kinds: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for split, named in keys.items():
        kinds[split.startswith('train')].update((key, facts[key].look) for key in named)
    copied = {key for key in kinds[False] if facts[key].digest in trained}
    held_out = {key: look for key, look in kinds[False].items() if key not in copied}
    if similar := similar_images(held_out, kinds[True]):
        one, other, _ = similar[0]
        report.notes.append(
            f'{len(similar)} of {len(kinds[False])} test images look like a training image, such '
            f'as {one} and {other}'
        )


def repeated_lines(content: str, name: str) -> Iterator[str]:
    """Find lines with an image that is already in the list.

    Args:
        content: Text of a list without invalid lines.
        name: Name of the list in the lines.

    Yields:
        One line for each.
    """
    first: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(content.split('\n'), 1):
        fields = line.strip().rsplit(None, 1)
        if not fields:
            continue
        path, label = fields
        earlier, given = first.setdefault(path, (number, label))
        if earlier != number:
            as_well = f' with label {label} instead of {given}' if label != given else ''
            yield f'{name}, line {number} repeats the image of line {earlier}{as_well}: {path}'


def unlike_public(dataset: ImageList) -> str:
    """Compare the counts of a list with those of the public list of its name.

    Args:
        dataset: The list.

    Returns:
        One line; empty if they agree or the name is not that of a public list.
    """
    public = [entry for entry in PUBLIC_LISTS if entry.name == dataset.split]
    counts = count_classes(dataset)
    found = (sum(counts), max(counts), min(counts))
    if not public or found in {(entry.images, entry.most, entry.least) for entry in public}:
        return ''
    entry = public[0]
    return (
        f'{dataset.ann_file} has {found[0]:,} images, {found[1]} to {found[2]} per class, but the '
        f'public {entry.name} has {entry.images:,}, {entry.most} to {entry.least}; download the '
        'public list, or rename your own list'
    )

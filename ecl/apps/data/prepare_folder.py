"""Prepare images for training: write lists, class names and a configuration."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ecl.apis.config import find_config
from ecl.apps.data.config_text import Settings, check_base, config_texts, default_base, describe
from ecl.apps.data.network import find_network
from ecl.apps.data.scan import scan_images
from ecl.apps.data.similar import Pair, similar_images
from ecl.apps.data.sources import (
    Source,
    check_names,
    group_paths,
    keep_held_out,
    read_csv,
    read_folder,
)
from ecl.apps.data.split import Split, divide_groups, keep_division, split_images
from ecl.errors import UserError
from ecl.settings import Whole, validate_params


class Prepared(NamedTuple):
    """Result of :func:`prepare_folder`.

    Attributes:
        out: The folder that was written.
        classes: Class names in label order.
        split: The images of each split and those left out.
        kinds: Unusual kinds of valid images, with their number.
        division: How the images were split, if not at random.
        similar: Test and validation images that look like a training image.
        notes: Lines about the network that the configuration trains.
    """

    out: Path
    classes: tuple[str, ...]
    split: Split
    kinds: dict[str, int]
    division: str
    similar: list[Pair]
    notes: tuple[str, ...] = ()

    def counts(self, split: str) -> list[int]:
        """Return the number of images of each class in 'train', 'val' or 'test'."""
        labels = Counter(label for _, label in getattr(self.split, split))
        return [labels[label] for label in range(len(self.classes))]


def prepare_folder(source: str | Path, out: str | Path, **options: Any) -> Prepared:
    """Prepare a folder of images; see :func:`~ecl.apps.data.sources.read_folder`.

    Args:
        source: Folder laid out as ``<class>/**/<image>`` or ``<split>/<class>/**/<image>``.
        out: Folder to create.
        **options: Options of :func:`prepare_images`.

    Raises:
        UserError: If the folder cannot be used as it is, or ``out`` exists or is inside it.
    """
    _check_free(out)
    if Path(out).resolve().is_relative_to(Path(source).resolve()):
        raise UserError(
            f'--out {out} is inside the folder of the images, where it would be a class. Choose '
            'another folder.'
        )
    return prepare_images(read_folder(source), out, **options)


def prepare_csv(
    table: str | Path,
    out: str | Path,
    root: str | Path | None = None,
    suffix: str = '',
    columns: Mapping[str, str | None] | None = None,
    **options: Any,
) -> Prepared:
    """Prepare the images of a CSV file; see :func:`~ecl.apps.data.sources.read_csv`.

    Args:
        table: CSV file of images and classes.
        out: Folder to create.
        root: Folder that the paths in the table start from. Defaults to the folder of the table.
        suffix: Suffix to append to each image.
        columns: Names of the columns ``image``, ``label``, ``split`` and ``group``, where they are
            not recognized.
        **options: Options of :func:`prepare_images`.

    Raises:
        UserError: If the table cannot be used as it is, or ``out`` exists.
    """
    _check_free(out)
    return prepare_images(read_csv(table, root, suffix, **(columns or {})), out, **options)


@validate_params(experts=Whole(at_least=1))
def prepare_images(
    source: Source,
    out: str | Path,
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
    group_by: str | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
    network: str | None = None,
    pretrained: str | None = None,
    experts: int | None = None,
    untested_below: int = 0,
    keep: str | Path | None = None,
) -> Prepared:
    """Split images, and write lists, class names and a configuration.

    ``out`` gets ``train.txt``, ``test.txt``, ``val.txt`` if asked for, with lines of
    ``path label``; ``classes.txt``; ``config.py``, and for photographs ``probe.py``, the linear
    probe; if files were left out, ``left_out.txt`` with path and reason; and if test images look
    like training images, ``similar.txt`` with both paths. The images stay where they are. If
    anything fails, nothing is written. Images that are already split keep their split.

    Args:
        source: The images.
        out: Folder to create.
        test: Test images of each class, see :func:`~ecl.apps.data.split.split_images`.
        val: Validation images of each class; see :func:`~ecl.apps.data.split.split_images`.
        seed: Seed of the split.
        group_by: Groups of images that stay in one split, by their paths; see
            :func:`~ecl.apps.data.sources.group_paths`.
        base: Configuration to inherit from, a file or a name. Default: one for the size of the
            images.
        workers: Threads that read images.
        network: Network of photographs, by its name in timm or MMPretrain; see
            :func:`~ecl.apps.data.network.find_network`. Default: EfficientNet-Lite0.
        pretrained: Checkpoint to start from instead of the network's published weights.
        experts: Number of experts. Default: one network for photographs, three experts for small
            images. For photographs, the experts share all blocks except the last; with ``network``,
            the stem and the first stage.
        untested_below: Classes with fewer different images are for training only. Not allowed with
            groups, because a class with only one group is never tested.
        keep: Folder of an earlier preparation, whose test and validation images stay in their
            splits; see :func:`~ecl.apps.data.sources.keep_held_out`.

    Raises:
        UserError: If the images cannot be used as they are, or ``out`` exists.
    """
    out = Path(out)
    _check_free(out)
    if group_by is not None:
        group_paths(source, group_by)
    _check_division(source, test, val, untested_below, keep)
    if keep is not None:
        keep_held_out(source, keep)
    if base is not None and (network or pretrained or experts):
        raise UserError('--base holds a network already: remove --network, --pretrained, --experts')
    chosen = None if base is None else find_config(base)
    if chosen is not None:
        check_base(chosen)
    if pretrained is not None and '://' not in pretrained and not Path(pretrained).is_file():
        raise UserError(f'--pretrained {pretrained}: the file does not exist')
    settings = Settings(
        experts or 1, find_network(network, pretrained) if network else None, pretrained
    )
    check_names(source)
    paths = list(dict.fromkeys(path for members in source.classes.values() for path in members))
    scanned = scan_images([str(source.root / path) for path in paths], workers)
    facts = dict(zip(paths, scanned, strict=True))
    faults = {path: fact.fault or _name_fault(path) for path, fact in facts.items()}
    sound = {name: [p for p in each if not faults[p]] for name, each in source.classes.items()}
    _check_none_empty(source, sound, faults)
    digests = {path: fact.digest for path, fact in facts.items()}
    split, told = _divide(source, sound, digests, test, val, seed, untested_below)
    split.left_out.update({path: fault for path, fault in faults.items() if fault})
    split.left_out.update(source.left_out)
    held_out = {path: facts[path].look for path, _ in (*split.val, *split.test)}
    similar = similar_images(held_out, {path: facts[path].look for path, _ in split.train})
    kinds = Counter(fact.kind for path, fact in facts.items() if fact.kind and not faults[path])
    sizes = [fact.size for path, fact in facts.items() if not faults[path]]
    if chosen is None:
        chosen = default_base(sizes, settings)
        if experts == 1 and not chosen.stem.endswith('_photos'):
            raise UserError(
                f'--experts 1: {chosen.stem}, which small images are trained with, has experts '
                'that learn from each other. Use --experts 2 or more, or --base for one network.'
            )
    notes = describe(chosen, settings)
    prepared = Prepared(out, tuple(source.classes), split, dict(kinds), told, similar, notes)
    _write(prepared, source.root, chosen, settings)
    return prepared


def _check_division(
    source: Source, test: float | None, val: float, untested_below: int, keep: str | Path | None
) -> None:
    """Check that only one option splits the images."""
    divides = test is not None or val or untested_below or source.groups
    if source.division and (divides or keep is not None):
        raise UserError(
            f'{source.root} is already split into training and test images, and this split is '
            'kept: remove the options that split, or give one of its folders to split it again.'
        )
    if keep is not None and divides:
        raise UserError(
            f'--keep {keep} defines the split: remove the other options that split the images'
        )
    if source.groups and untested_below:
        raise UserError(
            '--untested-below: got images with groups, expected images without groups. Remove the '
            'option: with groups, a class with only one group is already for training only.'
        )


def _divide(
    source: Source,
    sound: Mapping[str, Sequence[str]],
    digests: Mapping[str, str],
    test: int | float | None,
    val: int | float,
    seed: int,
    untested_below: int,
) -> tuple[Split, str]:
    """Split the valid images; also return how, if not at random."""
    if source.division:
        told = 'The existing split into training and test images is kept.'
        return keep_division(sound, digests, source.division), told
    if source.groups:
        division = divide_groups(sound, source.groups, test, val, seed)
        return keep_division(sound, digests, division), _describe_groups(source.groups, division)
    return split_images(sound, digests, test, val, seed, untested_below), ''


def _describe_groups(groups: Mapping[str, str], division: Mapping[str, str]) -> str:
    """Describe the number of groups of each split."""
    splits = {groups.get(path, path): split for path, split in division.items()}
    numbers = Counter(splits.values())
    parts = ', '.join(f'{numbers[split]} for {split}' for split in ('train', 'val', 'test'))
    return f'Groups stay in one split: {parts}.'


def _check_free(out: str | Path) -> None:
    if Path(out).exists() or Path(out).is_symlink():
        raise UserError(f'{out} exists already; remove it or choose another folder with --out')
    # MMEngine inserts the folder, with forward slashes, into a string of the configuration.
    if {'"', '\\'} & set(Path(out).absolute().as_posix()):
        raise UserError(
            f'--out {out}: got a path with a double quote or a backslash, expected none, since a '
            'configuration cannot hold it. Choose another folder.'
        )


def _name_fault(path: str) -> str:
    """Return the reason why a list cannot hold a path, or an empty string."""
    if path != path.strip() or '\n' in path or '\\' in path:
        return 'a list cannot hold its name: rename it without line ends, backslashes, outer spaces'
    try:
        path.encode()
    except UnicodeEncodeError:
        return 'its name is not UTF-8: rename it'
    return ''


def _check_none_empty(
    source: Source, sound: Mapping[str, Sequence[str]], faults: Mapping[str, str]
) -> None:
    for name, members in sound.items():
        if not members:
            path = min(source.classes[name])
            raise UserError(
                f'class {name!r} has no image that can be read, the first being '
                f'{source.root / path}: {faults[path]}. Repair or remove the class.'
            )


def _write(prepared: Prepared, source: Path, base: Path, settings: Settings) -> None:
    split = prepared.split
    with whole_folder(prepared.out) as draft:
        for name in ('train', 'val', 'test'):
            rows = getattr(split, name)
            if rows:
                _save(draft / f'{name}.txt', (f'{path} {label}' for path, label in rows))
        _save(draft / 'classes.txt', prepared.classes)
        if split.left_out:
            lines = (
                f'{escape_path(path)}\t{reason}' for path, reason in sorted(split.left_out.items())
            )
            _save(draft / 'left_out.txt', lines)
        if prepared.similar:
            pairs = (f'{a}\t{b}\t{distance} bits' for a, b, distance in prepared.similar)
            _save(draft / 'similar.txt', pairs)
        counts = prepared.counts('train')
        for name, text in config_texts(
            source, prepared.out, base, counts, bool(split.val), settings
        ).items():
            (draft / name).write_text(text, encoding='utf-8')


def escape_path(path: str) -> str:
    """Return a path as one line of UTF-8."""
    return path.encode('utf-8', 'backslashreplace').decode().replace('\n', '\\n')


def _save(path: Path, lines: Iterable[str]) -> None:
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8', newline='\n')


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Create a temporary folder that is renamed to ``out`` if the block succeeds."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    except OSError as error:
        raise UserError(f'{out} cannot be created: {error.strerror}') from error
    try:
        yield draft
        # mkdtemp denies access to other users; the result follows the user's umask.
        umask = os.umask(0)
        os.umask(umask)
        draft.chmod(0o777 & ~umask)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)

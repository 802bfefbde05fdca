"""From a folder of images to lists and a configuration that trains."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ecl.apps.data.prepare.class_folders import find_images
from ecl.apps.data.prepare.config_file import config_text, find_base
from ecl.apps.data.prepare.split import Split, split_images
from ecl.apps.data.scan import scan_images
from ecl.errors import UserError


class Prepared(NamedTuple):
    """What :func:`prepare_folder` made.

    Attributes:
        out: The folder that was written.
        classes: Class names in label order.
        split: The images of each split and those left out.
        kinds: Unusual kinds of image among the sound ones, with their number.
    """

    out: Path
    classes: tuple[str, ...]
    split: Split
    kinds: dict[str, int]

    def counts(self, split: str) -> list[int]:
        """Images of each class in 'train', 'val' or 'test'."""
        labels = Counter(label for _, label in getattr(self.split, split))
        return [labels[label] for label in range(len(self.classes))]


def prepare_folder(
    source: str | Path,
    out: str | Path,
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
    base: str | Path | None = None,
    workers: int | None = None,
) -> Prepared:
    """Read a class folder, divide it and write lists, class names and a configuration.

    ``out`` gets ``train.txt``, ``test.txt``, ``val.txt`` if asked for, with lines of
    ``path label``; ``classes.txt``; ``config.py``; and, if images were left out, ``left_out.txt``
    with path and reason. The images stay where they are. Nothing is written if anything fails.

    Args:
        source: Folder laid out as ``<class>/**/<image>``.
        out: Folder to create.
        test: Test images of each class, see :func:`~ecl.apps.data.prepare.split.split_images`.
        val: Validation images of each class, likewise.
        seed: Seed of the division.
        base: Configuration to inherit from. By default one that suits the size of the images.
        workers: Threads that read images.

    Raises:
        UserError: If the folder cannot be used as it is, or ``out`` exists.
    """
    source, out = Path(source), Path(out)
    if out.exists() or out.is_symlink():
        raise UserError(f'{out} exists already; remove it or choose another folder with --out')
    if base is not None and not Path(base).is_file():
        raise UserError(f'configuration file {base} does not exist')
    found = find_images(source)
    paths = [path for members in found.values() for path in members]
    scanned = scan_images((str(source / path) for path in paths), len(paths), workers)
    facts = {path: fact for path, (_, fact) in zip(paths, scanned, strict=True)}
    faults = {path: fact.fault or _name_fault(path) for path, fact in facts.items()}
    sound = {name: [p for p in members if not faults[p]] for name, members in found.items()}
    _check_none_empty(source, sound, faults)
    split = split_images(sound, {p: fact.digest for p, fact in facts.items()}, test, val, seed)
    split.left_out.update({path: fault for path, fault in faults.items() if fault})
    kinds = Counter(fact.kind for path, fact in facts.items() if fact.kind and not faults[path])
    prepared = Prepared(out, tuple(found), split, dict(kinds))
    sizes = [fact.size for path, fact in facts.items() if not faults[path]]
    _write(prepared, source, Path(base) if base else find_base(sizes))
    return prepared


def _name_fault(path: str) -> str:
    """Why a path cannot stand in a list, or an empty string."""
    if path != path.strip() or '\n' in path:
        return 'a list cannot hold its name: rename it without line ends and outer spaces'
    try:
        path.encode()
    except UnicodeEncodeError:
        return 'its name is not UTF-8: rename it'
    return ''


def _check_none_empty(source: Path, sound: dict[str, list[str]], faults: dict[str, str]) -> None:
    for name, members in sound.items():
        if not members:
            path = min(path for path in faults if path.startswith(f'{name}/'))
            raise UserError(
                f'class folder {source / name} has no image that can be read, the first being '
                f'{path}: {faults[path]}; mend or remove the folder'
            )


def _write(prepared: Prepared, source: Path, base: Path) -> None:
    split = prepared.split
    with _whole_folder(prepared.out) as draft:
        for name in ('train', 'val', 'test'):
            rows = getattr(split, name)
            if rows:
                _save(draft / f'{name}.txt', (f'{path} {label}' for path, label in rows))
        _save(draft / 'classes.txt', prepared.classes)
        if split.left_out:
            lines = (f'{_shown(path)}\t{reason}' for path, reason in sorted(split.left_out.items()))
            _save(draft / 'left_out.txt', lines)
        text = config_text(source, prepared.out, base, prepared.counts('train'), bool(split.val))
        (draft / 'config.py').write_text(text, encoding='utf-8')


def _shown(path: str) -> str:
    return path.encode('utf-8', 'backslashreplace').decode().replace('\n', '\\n')


def _save(path: Path, lines: Iterable[str]) -> None:
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8', newline='\n')


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A hidden neighbour that becomes ``out`` if the block succeeds, and vanishes if not."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    except OSError as error:
        raise UserError(f'{out} cannot be created: {error.strerror}') from error
    try:
        yield draft
        # mkdtemp keeps others out; the folder that stays follows the user's mask.
        umask = os.umask(0)
        os.umask(umask)
        draft.chmod(0o777 & ~umask)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)

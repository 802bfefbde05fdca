"""Read the images to prepare: class folders, with or without splits, or a CSV file."""

import os
import re
import shlex
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ecl.datasets.class_names import read_text, shorten, sort_classes
from ecl.datasets.image_csv import SPLITS, Row, parse_image_table
from ecl.datasets.image_file import EXTENSIONS, find_images, is_visible
from ecl.datasets.image_list import check_inside, read_image_list
from ecl.errors import UserError

_LAYOUT = 'Expected <folder>/<class>/<image>.'


@dataclass
class Source:
    """Images to prepare; paths are relative to ``root``, with forward slashes.

    Attributes:
        root: Folder that the paths start from.
        classes: Class name -> paths of its images, in label order.
        division: Path -> 'train', 'val' or 'test'; empty for images without a split.
        groups: Path -> group of images that must stay in one split; empty without groups.
        left_out: Other files -> reason.
    """

    root: Path
    classes: dict[str, list[str]]
    division: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def read_folder(root: str | Path) -> Source:
    """Read a folder with the layout ``<class>/**/<image>`` or ``<split>/<class>/**/<image>``.

    Folders named train, val and test (or usual variants) are an existing split, which is kept. A
    file is an image by its suffix or content; other files are left out with a reason.

    Args:
        root: The folder.

    Raises:
        UserError: If the folder is missing, has fewer than two classes, a class without images, an
            image outside of the class folders, or a folder without read permission; if it has
            splits and also other folders, no folder for training or for testing, or a class that
            the training data lack.
    """
    root = Path(root)
    if not root.is_dir():
        what = 'is a file' if root.exists() else 'does not exist'
        raise UserError(f'{root} {what}. {_LAYOUT}')
    splits = _find_splits(root)
    divided = bool(splits)
    source = Source(root, {}, left_out=_loose_files(root, '') if divided else {})
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for inside in splits or ['']:
        source.left_out |= _loose_files(root, inside)
        for name in _folders(root / inside):
            files = find_images(root / inside / name)
            prefix = f'{inside}/{name}' if inside else name
            paths = [f'{prefix}/{path}' for path in files.images]
            source.left_out |= {f'{prefix}/{path}': why for path, why in files.others.items()}
            members = found[splits.get(inside, '')].setdefault(
                unicodedata.normalize('NFC', name), []
            )
            members += paths
            if divided:
                source.division |= dict.fromkeys(paths, splits[inside])
    trained = found['train'] if divided else found['']
    if empty := [name for name, paths in trained.items() if not paths]:
        raise UserError(
            f'class folder {root / empty[0]} has no image. Add some, or remove the folder. Images '
            f'end in {", ".join(EXTENSIONS)}, or are recognized by content.'
        )
    if divided:
        _check_division(source.division, root)
    if len(trained) < 2:
        raise UserError(f'{root} has too few classes: got {len(trained)}, expected 2. {_LAYOUT}')
    for split, named in found.items():
        if unknown := sort_classes(set(named) - set(trained)):
            raise UserError(
                f'{root}: the {split} folder has classes that the training data lack: '
                f'{shorten(unknown)}. Remove them, or add training images.'
            )
    source.classes = {
        name: [path for named in found.values() for path in named.get(name, ())]
        for name in sort_classes(trained)
    }
    return source


def read_csv(
    table: str | Path,
    root: str | Path | None = None,
    suffix: str = '',
    **columns: str | None,
) -> Source:
    """Read a CSV file of images and classes; see :func:`~ecl.datasets.image_csv.parse_image_table`.

    A column of splits with rows for training and for testing or validation is an existing split,
    which is kept.

    Args:
        table: The CSV file.
        root: Folder that the paths in the table start from, or that contains absolute paths.
            Defaults to the folder of the table.
        suffix: Suffix to append to each image name, such as '.jpg', if the table has none.
        **columns: Names of the columns ``image``, ``label``, ``split`` and ``group``, where they
            are not recognized.

    Raises:
        UserError: If the table or the folder is missing, or the table is wrong, has fewer than two
            classes, an image in two splits, or a class without training images.
    """
    table = Path(table)
    if not table.is_file():
        raise UserError(f'{table} is missing, expected a CSV file of images and classes.')
    folder = Path(root) if root is not None else table.parent
    if not folder.is_dir():
        raise UserError(f'--images {folder}: the folder does not exist')
    rows = parse_image_table(read_text(table.read_bytes(), str(table)), str(table), **columns)
    _check_names_of_files(rows, table, folder, suffix)
    source = Source(folder, {})
    splits = {row.split for row in rows}
    divided = 'train' in splits and len(splits & SPLITS.keys()) > 1
    members: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        path = _relative(row.path + suffix, folder)
        if divided and row.split not in SPLITS:
            source.left_out[path] = f'its split is {row.split!r}, not train, val or test'
            continue
        members[row.label][path] = None
        if row.group:
            source.groups[path] = row.group
        if divided and source.division.setdefault(path, row.split) != row.split:
            other = source.division[path]
            raise UserError(f'{table}, line {row.line}: {path} is in {other} and in {row.split}.')
    check_inside(
        (path for paths in members.values() for path in paths),
        str(table),
        'Correct the table, or give the folder of the images by --images.',
    )
    if divided:
        trained = {
            name
            for name, paths in members.items()
            if any(source.division[path] == 'train' for path in paths)
        }
        if lacking := sort_classes(members.keys() - trained):
            raise UserError(f'{table} has no training image of {shorten(lacking)}.')
    if len(members) < 2:
        raise UserError(f'{table} has too few classes: got {len(members)}, expected 2.')
    source.classes = {name: list(members[name]) for name in sort_classes(members)}
    return source


def _check_names_of_files(rows: list[Row], table: Path, folder: Path, suffix: str) -> None:
    """Check for a header that was not recognized, and for names without their suffix."""
    first, last = rows[0], rows[-1]
    if (folder / (last.path + suffix)).is_file():
        alone = first.label not in {row.label for row in rows[1:]}
        if first.line == 1 and alone and not (folder / (first.path + suffix)).is_file():
            raise UserError(
                f'{table}, line 1: {folder / (first.path + suffix)} does not exist. If the line '
                f'names the columns: --image-column {shlex.quote(first.path)} --label-column '
                f'{shlex.quote(first.label)}.'
            )
        return
    for more in (case for known in EXTENSIONS for case in (known, known.upper())):
        if (folder / (last.path + suffix + more)).is_file():
            raise UserError(
                f'{table}, line {last.line}: {folder / (last.path + suffix)} does not exist, but '
                f'with {more} it does. Complete the names: --suffix {suffix + more}'
            )


def _relative(path: str, folder: Path) -> str:
    """Return an absolute path relative to a folder; other paths are not changed."""
    whole = PurePosixPath(folder.absolute())
    inside = PurePosixPath(path).is_relative_to(whole)
    return str(PurePosixPath(path).relative_to(whole)) if inside else path


def group_paths(source: Source, rule: str) -> None:
    """Set the groups of a source by the paths of its images.

    Args:
        source: Changed in place.
        rule: N for the N-th folder of a path, where 1 is the first one under the root; or a regular
            expression that is searched in the path: its groups name the group, or the whole match.

    Raises:
        UserError: If ``rule`` is not a regular expression, or an image has no such folder or match.

    Example:
        >>> source = Source(Path('photos'), {'owl': ['owl/zoo/1.jpg', 'owl/park/2.jpg']})
        >>> group_paths(source, '2')
        >>> source.groups
        {'owl/zoo/1.jpg': 'zoo', 'owl/park/2.jpg': 'park'}
    """
    paths = [path for members in source.classes.values() for path in members]
    pattern = rf'(?:[^/]+/){{{int(rule) - 1}}}([^/]+)/' if rule.isdecimal() and int(rule) else rule
    try:
        search = re.compile(pattern).match if rule.isdecimal() else re.compile(pattern).search
    except re.error as error:
        raise UserError(f'--group-by {rule}: not a regular expression ({error})') from error
    found = {path: search(path) for path in paths}
    if lacking := [path for path, match in found.items() if match is None]:
        what = f'no folder number {rule}' if rule.isdecimal() else 'no match'
        raise UserError(f'--group-by {rule}: {what} in {shorten(lacking)}')
    source.groups = {p: ' '.join(m.groups('')) or m[0] for p, m in found.items() if m}


def keep_held_out(source: Source, lists: str | Path) -> None:
    """Split a source as an earlier preparation did; new images are for training.

    Args:
        source: Changed in place. Images are identified by their paths.
        lists: Folder that the earlier preparation wrote.

    Raises:
        UserError: If there is no test list, or none of its images is in the source.
    """
    paths = [path for members in source.classes.values() for path in members]
    source.division = dict.fromkeys(paths, 'train')
    if not Path(lists, 'test.txt').is_file():
        raise UserError(f'--keep {lists}: got no test.txt, expected a folder of ecl prepare')
    for split in ('val', 'test'):
        file = Path(lists, f'{split}.txt')
        for path in read_image_list(file) if file.is_file() else ():
            if path in source.division:
                source.division[path] = split
            else:
                source.left_out[path] = f'the file is missing, and was in {file}'
    if 'test' not in source.division.values():
        raise UserError(f'--keep {lists}: none of its test images is in {source.root}')


def check_names(source: Source) -> None:
    """Check that the class names can be written to a list, one name per line.

    Raises:
        UserError: At the first name that is not UTF-8, or has line ends or outer spaces.
    """
    for name in source.classes:
        encodable = name.encode(errors='ignore').decode() == name
        if name.splitlines() != [name] or name != name.strip() or not encodable:
            raise UserError(
                f'{source.root}: the list of classes cannot hold a name: got {name!a}, '
                'expected UTF-8 without line ends and outer spaces. Rename the class.'
            )


def _find_splits(root: Path) -> dict[str, str]:
    """Return the folders of splits with the split of each; empty if the folders are classes."""
    names = _folders(root)
    splits = {}
    for name in names:
        for kind, usual in SPLITS.items():
            if name.lower() in usual:
                splits[name] = kind
    others = sorted(set(names) - set(splits))
    if not others:
        return splits
    if {'train', 'test'} <= set(splits.values()) or {'train', 'val'} <= set(splits.values()):
        raise UserError(
            f'{root} has the splits {", ".join(splits)}, but also other folders: '
            f'{shorten(others)}. Move these away, or rename {", ".join(splits)} if they are '
            'classes.'
        )
    return {}


def _check_division(division: dict[str, str], root: Path) -> None:
    splits = set(division.values())
    if 'train' not in splits or len(splits) < 2:
        raise UserError(
            f'{root} is split: got images in {", ".join(sorted(splits)) or "no split"}, expected '
            'images in train and in test or val. Add them, or give one folder to split it again.'
        )


def _folders(folder: Path) -> list[str]:
    return [name for name in _entries(folder) if (folder / name).is_dir()]


def _loose_files(root: Path, inside: str) -> dict[str, str]:
    """Return the files outside of the class folders, which must not be images."""
    loose = [name for name in _entries(root / inside) if not (root / inside / name).is_dir()]
    if images := [name for name in loose if name.lower().endswith(EXTENSIONS)]:
        raise UserError(
            f'{root / inside / images[0]} is not in a class folder, so it has no class. Move it '
            f'into one ({len(images)} such images).'
        )
    prefix = f'{inside}/' if inside else ''
    return {f'{prefix}{name}': 'it is not in a class folder' for name in loose}


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(filter(is_visible, os.listdir(folder)))
    except OSError as error:
        raise UserError(f'{folder} cannot be read: {error.strerror}') from error

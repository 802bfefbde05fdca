"""Find the images of class folders and divide them into splits."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecl.datasets.image_file import EXTENSIONS
from ecl.errors import UserError

_SPLIT_NAMES = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing'}


def find_images(root: str | Path) -> dict[str, list[str]]:
    """Return the images of each class under ``root/<class>/**/``.

    Links to folders are followed. Hidden files and files with other suffixes are left out.

    Args:
        root: The folder of class folders.

    Returns:
        Class name -> paths relative to ``root`` with forward slashes; both sorted.

    Raises:
        UserError: If the folder is missing, has fewer than two classes, an empty class, an image
            beside the class folders, a folder that may not be read or a link that leads into
            itself, or is divided into splits already.
    """
    root = Path(root)
    if not root.is_dir():
        what = 'is a file' if root.exists() else 'does not exist'
        raise UserError(f'{root} {what}; give a folder laid out as <folder>/<class>/<image>')
    entries = sorted(_entries(root), key=lambda entry: entry.name)
    loose = [entry.name for entry in entries if entry.is_file() and _is_image(entry.name)]
    if loose:
        raise UserError(
            f'{root / loose[0]} lies beside the class folders and so has no class; move it into '
            f'one ({len(loose)} such images)'
        )
    names = [entry.name for entry in entries if entry.is_dir()]
    if names and {name.lower() for name in names} <= _SPLIT_NAMES:
        raise UserError(
            f'{root} is divided into {", ".join(names)} already; give {root / names[0]} to split '
            'that anew, or train on the folders as they are with ImageFolder'
        )
    if len(names) < 2:
        raise UserError(
            f'{root} holds {len(names)} class folders; at least two classes are needed, laid out '
            'as <folder>/<class>/<image>'
        )
    found = {name: sorted(_walk(root / name, name, ())) for name in names}
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        raise UserError(
            f'class folder {root / empty[0]} holds no image; add some or remove the folder '
            f'(images end in {", ".join(sorted(EXTENSIONS))}; {len(empty)} such folders)'
        )
    return found


def _walk(folder: Path, inside: str, above: tuple[tuple[int, int], ...]) -> list[str]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise UserError(f'{folder} is a symbolic link to a folder that it lies in; remove the link')
    paths = []
    for entry in _entries(folder):
        path = f'{inside}/{entry.name}'
        if entry.is_dir():
            paths += _walk(folder / entry.name, path, (*above, identity))
        # A broken link is not a file, but it is meant to be an image.
        elif _is_image(entry.name):
            paths.append(path)
    return paths


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith('.')]
    except PermissionError as error:
        raise UserError(f'folder {folder} may not be read (no permission)') from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


class Split(NamedTuple):
    """Images of each split, and images that were left out.

    Attributes:
        train, val, test: ``(path, label)`` of each image, by class and name.
        left_out: Path -> reason.
    """

    train: list[tuple[str, int]]
    val: list[tuple[str, int]]
    test: list[tuple[str, int]]
    left_out: dict[str, str]


def split_images(
    classes: Mapping[str, Sequence[str]],
    digests: Mapping[str, str],
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
) -> Split:
    """Draw the test and validation images of each class at random; the others are for training.

    Files with the same content are one image: all of them go to training, or a single one to
    validation or test, the other copies being left out. An image found in two classes has no
    certain label and is left out everywhere.

    Args:
        classes: Class name -> paths of its sound images, in label order.
        digests: Path -> sum of its content.
        test: Test images of each class: a number, the same for all; or a fraction below 1 of each
            class, at least one image. Defaults to a third of the smallest class, 50 at most.
        val: Validation images of each class, likewise; 0 for none.
        seed: Seed of the draw.

    Returns:
        The split.

    Raises:
        UserError: If a class has too few images to leave one for training.
    """
    labels_of = defaultdict(set)
    for label, paths in enumerate(classes.values()):
        for path in paths:
            labels_of[digests[path]].add(label)
    names = list(classes)
    result = Split([], [], [], {})
    copies: list[dict[str, list[str]]] = []
    for paths in classes.values():
        mine: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            labels = sorted(labels_of[digests[path]])
            if len(labels) > 1:
                among = ', '.join(repr(names[label]) for label in labels)
                result.left_out[path] = f'the same image is in the classes {among}'
            else:
                mine[digests[path]].append(path)
        copies.append(mine)
    sizes = [len(mine) for mine in copies]
    if test is None:
        test = max(1, min(50, min(sizes) // 3))
    for label, (name, mine) in enumerate(zip(names, copies, strict=True)):
        tested, validated = (_number(share, len(mine)) for share in (test, val))
        if tested + validated >= len(mine):
            raise UserError(
                f'class {name!r} has {len(mine)} different images, too few for {tested} test and '
                f'{validated} validation images and one to train on; ask for fewer, or add images '
                'to the class'
            )
        groups = [mine[digest] for digest in sorted(mine, key=lambda digest: mine[digest][0])]
        order = np.random.default_rng([seed, label]).permutation(len(groups))
        parts = ((result.test, tested), (result.val, validated))
        start = 0
        for part, number in parts:
            for index in sorted(order[start : start + number]):
                first, *others = groups[index]
                part.append((first, label))
                result.left_out.update(dict.fromkeys(others, f'a copy of {first}'))
            start += number
        for index in sorted(order[start:]):
            result.train.extend((path, label) for path in groups[index])
    return result


def _number(share: int | float, size: int) -> int:
    return share if isinstance(share, int) else max(1, round(share * size))

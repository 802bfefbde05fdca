"""Find the images of a class folder without trusting its tree."""

import os
from pathlib import Path

from ecl.datasets.image_file import EXTENSIONS
from ecl.errors import UserError

_SPLIT_NAMES = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing'}


def find_images(root: str | Path) -> dict[str, list[str]]:
    """Images of each class under ``root/<class>/**/``.

    Links to folders are followed; hidden files, and files that are no images by their names, are
    passed over.

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
        # A link that leads nowhere is no file, but it is meant to be an image.
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

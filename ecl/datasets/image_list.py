"""Images named in a text file, one ``path label`` a line."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.dataset import force_full_init
from mmengine.fileio import exists, get, get_file_backend, list_from_file
from mmpretrain.datasets import BaseDataset

from ecl.datasets.public_lists import CLASS_NAMES, blob_sum, list_record
from ecl.errors import UserError
from ecl.registry import DATASETS


def parse_image_list(
    text: str, name: str, num_classes: int | None = None
) -> tuple[list[str], list[int]]:
    """Read lines of ``path label``.

    The label is the last field, so a path may hold spaces. Blank lines and the line ends of any
    system are accepted.

    Args:
        text: The list.
        name: What to call it in an error, such as its path.
        num_classes: Number of classes C where known; labels must then lie below it.

    Returns:
        Paths and labels, as many as there are lines.

    Raises:
        UserError: At the first line that is not ``path label`` or whose label is out of range, and
            for a list without images; it names the list, the line and what is wrong.

    Example:
        >>> parse_image_list('train/a cat.jpg 3\\n', 'train.txt')
        (['train/a cat.jpg'], [3])
    """
    paths, labels = [], []
    limit = float('inf') if num_classes is None else num_classes
    for number, line in enumerate(text.split('\n'), 1):
        fields = line.strip().rsplit(None, 1)
        if len(fields) == 2 and fields[1].isascii() and fields[1].isdigit():
            label = int(fields[1])
            if label < limit:
                paths.append(fields[0])
                labels.append(label)
                continue
        if fields:
            raise UserError(f'{name}, line {number}: {_fault(fields, limit)}')
    if not paths:
        raise UserError(f'{name} lists no image; it needs lines of the form: path label')
    return paths, labels


def _fault(fields: list[str], limit: float) -> str:
    if len(fields) == 1:
        return f'{fields[0]!r} has no label; each line must read: path label'
    label = fields[1]
    if label.isascii() and label.isdigit():
        return (
            f'label {label} is out of range: with {limit} classes labels run from 0 to {limit - 1}'
        )
    if label.startswith('-') and label[1:].isdigit():
        return f'label {label} is negative; labels count from 0'
    return f'{label!r} is no label; it must be a whole number, counted from 0'


def check_inside(paths: Iterable[str], name: str) -> None:
    """Make sure that the paths of a list stay below the folder they start from.

    The words of the path count: links inside the folder are the user's own, and may lead anywhere.

    Args:
        paths: The paths, as :func:`parse_image_list` gives them.
        name: What to call the list in an error, such as its path.

    Raises:
        UserError: At the first path that is absolute, climbs out by ``..``, names another place
            (``s3://``) or holds a NUL character.
    """
    for path in paths:
        leaves = '..' in path and os.path.normpath(path).split(os.sep)[0] == '..'
        if leaves or os.path.isabs(path) or '://' in path or '\0' in path:
            raise UserError(
                f'{name} names {path!r}, which is not below the data root; mend the list, or, if '
                'you trust it, set allow_outside=True in the dataset'
            )


@DATASETS.register_module()
class ImageList(BaseDataset):
    """Any images named in a list, such as those of ImageNet-LT, Places-LT and iNaturalist.

    Images are opened when they are needed, not looked for at the start. They are in BGR after
    ``LoadImageFromFile``: the preprocessor needs ``to_rgb=True``.

    Args:
        ann_file: The list, see :func:`parse_image_list`; a relative path is under ``data_root``.
        data_root: Folder that the paths in the list start from.
        classes: Class names, or a file with one a line, or the name of a known dataset: 'imagenet',
            'places365'.
        allow_outside: Whether paths in the list may lead out of that folder; see
            :func:`check_inside`.
        **kwargs: ``data_prefix`` (a folder under ``data_root`` to start from instead), ``pipeline``
            and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the list is missing, empty or not UTF-8 text, or a line of it is wrong or
            leads out of the folder.

    Example:
        >>> train_dataset = dict(
        ...     type='ImageList', ann_file='ImageNet_LT_train.txt', data_root='data/imagenet')
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        classes: str | Sequence[str] | None = None,
        allow_outside: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(classes, str):
            classes = CLASS_NAMES.get(classes) or _read_names(classes)
        self.allow_outside = allow_outside
        super().__init__(
            ann_file, data_root=os.path.expanduser(data_root), classes=classes, **kwargs
        )

    @property
    def split(self) -> str:
        """Name of the list without its folder and extension."""
        return os.path.splitext(os.path.basename(self.ann_file))[0]

    @property
    @force_full_init
    def list_record(self) -> str:
        """Which list this is, as the protocol names it; see :func:`list_record`."""
        return list_record(self.split, self._blob)

    def load_data_list(self) -> list[dict]:
        """Paths and labels in the order of the list."""
        if not exists(self.ann_file):
            raise UserError(
                f'{self.ann_file} is missing; ImageList expects there a text file with lines of '
                'the form: path label (a relative ann_file is looked for under data_root)'
            )
        content = get(self.ann_file)
        self._blob = blob_sum(content)
        try:
            text = content.decode('utf-8-sig')
        except UnicodeDecodeError as error:
            raise UserError(f'{self.ann_file} is not UTF-8 text: {error}') from error
        num_classes = None if self.CLASSES is None else len(self.CLASSES)
        paths, labels = parse_image_list(text, self.ann_file, num_classes)
        if not self.allow_outside:
            check_inside(paths, self.ann_file)
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        return [
            {'img_path': join(self.img_prefix, path), 'gt_label': label}
            for path, label in zip(paths, labels, strict=True)
        ]


def _read_names(path: str) -> list[str]:
    """Class names from a file with one a line."""
    if not exists(os.path.expanduser(path)):
        raise UserError(
            f'classes: {path} is missing; it must be a file with one class name a line, or one of '
            + ', '.join(CLASS_NAMES)
        )
    return list_from_file(os.path.expanduser(path))

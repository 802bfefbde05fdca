"""Dataset of images in a text file with one ``path label`` per line."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import force_full_init
from mmengine.fileio import exists, get, get_file_backend
from mmpretrain.datasets import BaseDataset

from ecl.datasets.class_names import read_classes, read_text
from ecl.datasets.protocol import blob_sum, list_record
from ecl.errors import UserError
from ecl.registry import DATASETS


def parse_image_list(
    text: str, name: str, num_classes: int | None = None
) -> tuple[list[str], list[int]]:
    """Parse a list with lines of ``path label``.

    The label is the last field, so a path may contain spaces. Blank lines, line ends of any system
    and backslashes as in Windows' paths are accepted.

    Args:
        text: The list.
        name: Its name in an error, such as its path.
        num_classes: Number of classes C, if known; labels must be below it.

    Returns:
        Paths, with forward slashes, and labels, one per line.

    Raises:
        UserError: If a line is not ``path label``, a label is out of range, or the list has no
            images. The message names the list, the line and the fault.

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
                paths.append(fields[0].replace('\\', '/'))
                labels.append(label)
                continue
        if fields:
            raise UserError(f'{name}, line {number}: {_fault(fields, limit)}')
    if not paths:
        raise UserError(f'{name} lists no image, expected lines of the form: path label')
    return paths, labels


def read_image_list(path: str | Path) -> list[str]:
    """Return the paths of a list in a file of any system; see :func:`parse_image_list`."""
    return parse_image_list(read_text(Path(path).read_bytes(), str(path)), str(path))[0]


def _fault(fields: list[str], limit: float) -> str:
    if len(fields) == 1:
        return f'{fields[0]!r} has no label, expected the form: path label'
    label = fields[1]
    if label.isascii() and label.isdigit():
        return f'label out of range: got {label}, expected 0 to {limit - 1} with {limit} classes'
    if label.startswith('-') and label[1:].isdigit():
        return f'negative label: got {label}, expected 0 or more'
    return f'invalid label: got {label!r}, expected a whole number of at least 0'


_TRUST = 'Correct the list, or, if you trust it, set allow_outside=True in the dataset.'


def check_inside(paths: Iterable[str], name: str, advice: str = _TRUST) -> None:
    """Check that the paths of a list stay below the folder they start from.

    Only the text of a path is checked. Symbolic links inside the folder may point anywhere.

    Args:
        paths: The paths of :func:`parse_image_list`.
        name: Name of the list in an error, such as its path.
        advice: End of the error message: what the user can do.

    Raises:
        UserError: At the first path that is absolute, leaves the folder by ``..``, names another
            place (``s3://``) or contains a NUL character.
    """
    for path in paths:
        leaves = '..' in path and os.path.normpath(path).split(os.sep)[0] == '..'
        if leaves or os.path.isabs(path) or '://' in path or '\0' in path:
            raise UserError(f'{name} names {path!r}, which is not below the data root. {advice}')


@DATASETS.register_module()
class ImageList(BaseDataset):
    """Any images named in a list, such as those of ImageNet-LT, Places-LT and iNaturalist.

    Files are opened only when they are needed, and are not checked earlier. Images are in BGR after
    ``LoadImage``: the preprocessor needs ``to_rgb=True``.

    Args:
        ann_file: The list, see :func:`parse_image_list`; a relative path is under ``data_root``.
        data_root: Folder that the paths in the list start from.
        classes: Class names in label order; see :func:`~ecl.datasets.class_names.read_classes`.
        allow_outside: Whether paths in the list may leave that folder; see :func:`check_inside`.
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
        self.allow_outside = allow_outside
        data_root = os.path.expanduser(data_root)
        super().__init__(ann_file, data_root=data_root, classes=read_classes(classes), **kwargs)

    @property
    def split(self) -> str:
        """Name of the list without its folder and suffix."""
        return os.path.splitext(os.path.basename(self.ann_file))[0]

    @property
    @force_full_init
    def list_record(self) -> str:
        """Name of the list in the protocol; see :func:`list_record`."""
        return list_record(self.split, self._blob)

    def load_data_list(self) -> list[dict]:
        """Return paths and labels in the order of the list."""
        if not exists(self.ann_file):
            raise UserError(
                f'{self.ann_file} is missing, expected a text file with lines of the form: path '
                'label. A relative ann_file is under data_root.'
            )
        content = get(self.ann_file)
        self._blob = blob_sum(content)
        text = read_text(content, self.ann_file)
        num_classes = None if self.CLASSES is None else len(self.CLASSES)
        paths, labels = parse_image_list(text, self.ann_file, num_classes)
        if not self.allow_outside:
            check_inside(paths, self.ann_file)
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        return [
            {'img_path': join(self.img_prefix, path), 'gt_label': label}
            for path, label in zip(paths, labels, strict=True)
        ]

"""Images in one folder for each class."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import mmpretrain.datasets
from mmpretrain.datasets import BaseDataset

from ecl.datasets.class_names import read_classes, shorten, sort_classes
from ecl.datasets.image_file import EXTENSIONS, find_images, is_visible
from ecl.datasets.protocol import NotedDataset
from ecl.errors import UserError
from ecl.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(NotedDataset, BaseDataset):
    """Any images in a local folder with the layout ``data_root/split/<class>/**/<image>``.

    All splits use the same class numbers. Without ``classes``, the class names are the folders of
    ``data_root/train_split``, or of the split itself if there is no such folder. They are sorted by
    value if all are whole numbers, else alphabetically. A folder of a split that is not among them
    is an error. A class without images in a split is logged.

    With ``classes``, the labels have the order given. Other folders are left out and logged.

    Files are images by their suffix or their content. All other files are logged; see
    :func:`~ecl.datasets.image_file.find_images`. Images are in BGR after ``LoadImage``: the
    preprocessor needs ``to_rgb=True``.

    Args:
        data_root: The root folder.
        split: Folder under the root that contains the class folders, such as 'train'; '' if the
            root itself contains them.
        classes: Class names in label order; see :func:`~ecl.datasets.class_names.read_classes`.
        train_split: Folder of the training data under the root.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the folder is missing or has no class folder or no image, or has a class that
            the training data lack. The message names the folder and the layout.

    Example:
        >>> data = ImageFolder('data/cifar100', split='train')  # doctest: +SKIP
        >>> data.CLASSES[:2]  # doctest: +SKIP
        ('apple', 'aquarium_fish')
    """

    def __init__(
        self,
        data_root: str,
        split: str = '',
        classes: str | Sequence[str] | None = None,
        train_split: str = 'train',
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.train_split = train_split
        super().__init__(
            ann_file='',
            data_root=os.path.expanduser(data_root),
            data_prefix=split,
            classes=read_classes(classes),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Return paths and labels, class by class, sorted by path within each."""
        folders = self._class_folders(self.img_prefix)
        chosen = self._choose_classes(folders)
        label_of = {name: label for label, name in enumerate(self.CLASSES)}
        data_list: list[dict] = []
        others = dict.fromkeys(self._loose_files(), 'it is not in a class folder')
        for folder in sorted(chosen):
            found = find_images(os.path.join(self.img_prefix, folder))
            others |= {f'{folder}/{path}': fault for path, fault in found.others.items()}
            label = label_of[folders[folder]]
            data_list += [
                {'img_path': f'{self.img_prefix}/{folder}/{path}', 'gt_label': label}
                for path in found.images
            ]
        self._log_left_out(others)
        if not data_list:
            raise UserError(
                f'{self.img_prefix} has no image: got {len(others)} other files, expected files '
                f'that end in {", ".join(EXTENSIONS)} or are images by content. {self._layout()}'
            )
        labels = {entry['gt_label'] for entry in data_list}
        lacking = [name for label, name in enumerate(self.CLASSES) if label not in labels]
        if lacking:
            number = f'{len(lacking)} of {len(self.CLASSES)} classes'
            self.note(f'{self.img_prefix} has no image of {number}: {shorten(lacking)}')
        return data_list

    def _class_folders(self, root: str) -> dict[str, str]:
        """Return the class folders under a folder, with the class name of each."""
        if not os.path.isdir(root):
            raise UserError(f'{root} is missing. {self._layout()}')
        try:
            entries = sorted(filter(is_visible, os.listdir(root)))
        except OSError as error:
            raise UserError(f'{root} cannot be read: {error.strerror}') from error
        names = [name for name in entries if os.path.isdir(os.path.join(root, name))]
        if not names:
            raise UserError(f'{root} has no class folder. {self._layout()}')
        # macOS writes accents as separate characters; NFC makes the names equal on all systems.
        return {name: unicodedata.normalize('NFC', name) for name in names}

    def _loose_files(self) -> list[str]:
        names = filter(is_visible, os.listdir(self.img_prefix))
        return sorted(n for n in names if not os.path.isdir(os.path.join(self.img_prefix, n)))

    def _choose_classes(self, folders: dict[str, str]) -> list[str]:
        """Set the class names and return the folders to read."""
        if self.CLASSES is not None:
            others = sorted(folder for folder, name in folders.items() if name not in self.CLASSES)
            if others:
                number = f'{len(others)} folders that are not among `classes`'
                self.note(f'{self.img_prefix}: left out {number}: {shorten(others)}')
            return [folder for folder in folders if folder not in others]
        trained = os.path.join(self.data_root, self.train_split)
        names = set(folders.values())
        if self.split not in ('', self.train_split) and os.path.isdir(trained):
            known = set(self._class_folders(trained).values())
            if unknown := sort_classes(names - known):
                raise UserError(
                    f'{self.img_prefix} has classes that {trained} lacks: {shorten(unknown)}. '
                    'Remove these folders, or name all classes by the argument `classes`.'
                )
            names = known
        self._metainfo['classes'] = sort_classes(names)
        return list(folders)

    def _log_left_out(self, others: dict[str, str]) -> None:
        if others:
            shown = '; '.join(f'{path}: {fault}' for path, fault in list(others.items())[:5])
            more = f'; and {len(others) - 5} more' if len(others) > 5 else ''
            self.note(f'{self.img_prefix}: left out {len(others)} files: {shown}{more}')

    def _layout(self) -> str:
        folder = f'<data_root>/{self.split}/' if self.split else '<data_root>/'
        return f'ImageFolder expects {folder}<class>/<image>, one folder for each class.'


@DATASETS.register_module()
class CustomDataset(NotedDataset, mmpretrain.datasets.CustomDataset):
    """MMPretrain's ``CustomDataset``, with a message about files that it leaves out.

    The arguments are those of MMPretrain's class. It numbers each split by its own folders and
    takes files by their suffix alone; :class:`ImageFolder` uses the same class numbers in all
    splits.

    Raises:
        UserError: If no file has one of the ``extensions``. The message names the suffixes in the
            folder.
    """

    def is_valid_file(self, filename: str) -> bool:
        """Return whether a file has one of the ``extensions``; count the others by suffix."""
        valid = super().is_valid_file(filename)
        if not valid:
            suffix = os.path.splitext(filename)[1].lower()
            self._others[suffix or 'no suffix'] += 1
        return valid

    def load_data_list(self) -> list[dict]:
        """Return paths and labels."""
        self._others: Counter[str] = Counter()
        try:
            data_list = super().load_data_list()
        except RuntimeError as error:
            raise UserError(self._describe_others('no image found')) from error
        if self._others:
            self.note(self._describe_others('left out'))
        return data_list

    def _describe_others(self, what: str) -> str:
        seen = ', '.join(f'{number} x {suffix}' for suffix, number in self._others.most_common(8))
        return (
            f'CustomDataset: {what} in {self.img_prefix}: got {seen or "no file"}, expected '
            f'{", ".join(sorted(self.extensions))}. Set the argument `extensions`, or use '
            'ImageFolder, which recognizes images by content.'
        )

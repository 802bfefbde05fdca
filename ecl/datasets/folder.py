"""Images in one folder per class."""

import os
from typing import Any

from mmengine.fileio import get_file_backend, isdir, join_path
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import find_folders, get_samples

from ecl.errors import UserError
from ecl.registry import DATASETS

#: What OpenCV and Pillow both read; compared in lower case.
EXTENSIONS = (
    '.jpg',
    '.jpeg',
    '.png',
    '.webp',
    '.bmp',
    '.ppm',
    '.pgm',
    '.tif',
    '.tiff',
    '.gif',
)


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Any images laid out as ``data_root/split/<class>/**/<image>``.

    The classes are the folders in alphabetical order. Give ``classes`` to read these folders only,
    with labels in the order given; each of them must be there, also where a split might lack a
    class. Images are in BGR after ``LoadImageFromFile``: the preprocessor needs ``to_rgb=True``.

    Args:
        data_root: The root folder.
        split: Folder under the root that holds the class folders, such as 'train'; '' where they
            lie in the root itself.
        extensions: File names that count as images, in lower case; the case of the file's name
            does not matter.
        **kwargs: ``pipeline``, ``classes`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the folder is missing, holds no class folder, lacks one of ``classes``, or a
            class is empty; it names the folder and the layout.

    Example:
        >>> data = ImageFolder('data/cifar100', split='train')  # doctest: +SKIP
        >>> data.CLASSES[:2]  # doctest: +SKIP
        ('apple', 'aquarium_fish')
    """

    def __init__(
        self,
        data_root: str,
        split: str = '',
        extensions: tuple[str, ...] = EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        self.split = split
        super().__init__(
            data_root=os.path.expanduser(data_root),
            data_prefix=split,
            extensions=extensions,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Paths and labels, class by class, sorted by name within each."""
        root = self.img_prefix
        if not isdir(root):
            raise UserError(f'{root} is missing; {self._layout()}')
        folders, _ = find_folders(root)
        if not folders:
            raise UserError(f'{root} holds no class folder; {self._layout()}')
        label_of = self._labels(folders)
        try:
            samples, empty = get_samples(root, label_of, self.is_valid_file)
        except OSError as error:  # a link that leads into itself, or a folder that may not be read
            path = str(error.filename)
            shown = path if len(path) <= 200 else f'{path[:200]}...'
            raise UserError(f'{shown} cannot be read: {error.strerror}') from error
        if empty:
            raise UserError(
                f'{join_path(root, min(empty))} holds no image; add some or remove the folder '
                f'(images end in {", ".join(sorted(self.extensions))}); {self._layout()}'
            )
        join = get_file_backend(root, enable_singleton=True).join_path
        return [{'img_path': join(root, path), 'gt_label': label} for path, label in samples]

    def _labels(self, folders: list[str]) -> dict[str, int]:
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(folders)
        missing = [name for name in self.CLASSES if name not in folders]
        if missing:
            more = f' and {len(missing) - 1} more of `classes`' if missing[1:] else ''
            raise UserError(
                f'{self.img_prefix} has no folder for class {missing[0]!r}{more}; {self._layout()}'
            )
        return {name: label for label, name in enumerate(self.CLASSES)}

    def _layout(self) -> str:
        folder = f'<data_root>/{self.split}/' if self.split else '<data_root>/'
        return f'ImageFolder expects {folder}<class>/<image>, one folder for each class'

"""CIFAR-10 and CIFAR-100 from the authors' archives: checked, and read as data alone."""

import os
from typing import Any

import mmpretrain.datasets
import numpy as np
from mmengine.fileio import exists, get, join_path
from mmpretrain.datasets.utils import check_md5

from ecl.datasets.array_pickle import load_array_pickle
from ecl.errors import UserError
from ecl.registry import DATASETS
from ecl.settings import check_choice


@DATASETS.register_module()
class CIFAR10(mmpretrain.datasets.CIFAR10):
    """CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32 x 32 pixels.

    Reads the original Python archive, unpacked: ``data_root/cifar-10-batches-py/data_batch_1`` to
    ``data_batch_5`` and ``test_batch``. Each file is compared with its published MD5 sum and read
    without running anything in it. Nothing is ever downloaded.

    An image is ``img``, shape (32, 32, 3), uint8, in RGB: the preprocessor needs ``to_rgb=False``.

    Args:
        data_root: Folder that holds ``cifar-10-batches-py``.
        split: 'train' or 'test'.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If a file is missing or is not the original one; it names the file, the layout
            and where the archive is.
    """

    page = 'https://www.cs.toronto.edu/~kriz/cifar.html'

    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        check_choice(self, ('train', 'test'), split=split)
        super().__init__(os.path.expanduser(data_root), split, download=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Images and fine labels of the split, in file order."""
        files = self.train_list if self.split == 'train' else self.test_list
        batches = [self._read(name, md5) for name, md5 in files]
        planes = np.concatenate([batch['data'] for batch in batches])
        images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        key = 'fine_labels' if 'fine_labels' in batches[0] else 'labels'
        labels = [label for batch in batches for label in batch[key]]
        return [
            {'img': np.ascontiguousarray(image), 'gt_label': int(label)}
            for image, label in zip(images, labels, strict=True)
        ]

    def _read(self, name: str, md5: str) -> dict:
        path = join_path(self.data_prefix['root'], self.base_folder, name)
        if not exists(path):
            raise UserError(f'{path} is missing; {self._how_to_get()}')
        if not check_md5(path, md5):
            raise UserError(
                f'{path} is damaged or not the original file (its MD5 sum is not {md5}); '
                + self._how_to_get()
            )
        return load_array_pickle(get(path), path)

    def _how_to_get(self) -> str:
        names = ', '.join(name for name, _ in self.train_list + self.test_list)
        return (
            f'{type(self).__name__} expects <data_root>/{self.base_folder}/ with {names}: download '
            f'{self.filename} (the Python version) from {self.page} and unpack it in <data_root>'
        )


@DATASETS.register_module()
class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 training and 10,000 test images of a hundred classes, 32 x 32 pixels.

    As :class:`CIFAR10`, from ``data_root/cifar-100-python/train`` and ``test``; the labels are the
    hundred fine ones.
    """

    base_folder = mmpretrain.datasets.CIFAR100.base_folder
    url = mmpretrain.datasets.CIFAR100.url
    filename = mmpretrain.datasets.CIFAR100.filename
    tgz_md5 = mmpretrain.datasets.CIFAR100.tgz_md5
    train_list = mmpretrain.datasets.CIFAR100.train_list
    test_list = mmpretrain.datasets.CIFAR100.test_list
    meta = mmpretrain.datasets.CIFAR100.meta
    METAINFO = mmpretrain.datasets.CIFAR100.METAINFO

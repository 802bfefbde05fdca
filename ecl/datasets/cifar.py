"""CIFAR-10 and CIFAR-100 from the original archives, verified and read without running code."""

import _codecs
import io
import os
import pickle
from typing import Any

import mmpretrain.datasets
import numpy as np
from mmengine.fileio import exists, get, join_path
from mmpretrain.datasets.utils import check_md5

from ecl.checkpoint_file import RECONSTRUCT
from ecl.errors import UserError
from ecl.registry import DATASETS
from ecl.settings import OneOf, validate_params


@DATASETS.register_module()
class CIFAR10(mmpretrain.datasets.CIFAR10):
    """CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32 x 32 pixels.

    Reads the original Python archive, unpacked: ``data_root/cifar-10-batches-py/data_batch_1`` to
    ``data_batch_5`` and ``test_batch``. Each file is compared with its published MD5 sum and read
    without running any code in it. Nothing is downloaded.

    An image is ``img``, shape (32, 32, 3), uint8, in RGB: the preprocessor needs ``to_rgb=False``.

    Args:
        data_root: Folder that holds ``cifar-10-batches-py``.
        split: 'train' or 'test'.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If a file is missing or not the original one; it names the file, the layout and
            the address of the archive.
    """

    page = 'https://www.cs.toronto.edu/~kriz/cifar.html'

    @validate_params(split=OneOf('train', 'test'))
    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        super().__init__(os.path.expanduser(data_root), split, download=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return images and labels of the split, in file order."""
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
            raise UserError(f'{path} is missing. {self._how_to_get()}')
        if not check_md5(path, md5):
            raise UserError(
                f'{path} is damaged or not the original file (its MD5 sum is not {md5}). '
                + self._how_to_get()
            )
        return load_array_pickle(get(path), path)

    def _how_to_get(self) -> str:
        names = ', '.join(name for name, _ in self.train_list + self.test_list)
        return (
            f'{type(self).__name__} expects <data_root>/{self.base_folder}/ with {names}. Download '
            f'{self.filename} (the Python version) from {self.page} and unpack it in <data_root>.'
        )


@DATASETS.register_module()
class CIFAR100(CIFAR10, mmpretrain.datasets.CIFAR100):
    """CIFAR-100: 50,000 training and 10,000 test images of a hundred classes, 32 x 32 pixels.

    Like :class:`CIFAR10`, from ``data_root/cifar-100-python/train`` and ``test``; the labels are
    the hundred fine ones.
    """


#: The only names that such a pickle may use: functions that rebuild numpy arrays, with their paths
#: in numpy 1 and 2, and the function that protocol 2 uses for bytes.
_ALLOWED = {
    ('numpy.core.multiarray', '_reconstruct'): RECONSTRUCT,
    ('numpy._core.multiarray', '_reconstruct'): RECONSTRUCT,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('_codecs', 'encode'): _codecs.encode,
}


def load_array_pickle(data: bytes, name: str) -> Any:
    """Unpickle containers, numbers, strings and numpy arrays, and nothing else.

    Args:
        data: The pickle. Strings written by Python 2 are read as latin-1.
        name: Its name in an error, such as its path.

    Returns:
        The content.

    Raises:
        UserError: If the pickle uses any other name, or is damaged.
    """
    return _ArrayUnpickler(io.BytesIO(data), name).load()


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding='latin1')
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                f'{self.name} would run {module}.{name}, which a file of arrays never does. '
                'It was not opened. Replace it with the original.'
            )
        return _ALLOWED[module, name]

    def load(self) -> Any:
        try:
            return super().load()
        except UserError:
            raise
        # A damaged pickle may raise any exception; in every case the user must replace the file.
        except Exception as error:
            raise UserError(
                f'{self.name} is not a complete pickle ({error}). Replace it with the original.'
            ) from error

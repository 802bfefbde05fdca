"""Datasets with images in memory: any small dataset, decoded once, and the digits."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from mmpretrain.datasets import BaseDataset
from mmpretrain.structures import DataSample
from rich.console import Console
from rich.progress import track
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

from ecl.datasets.class_counts import gt_labels
from ecl.datasets.protocol import leaves
from ecl.errors import UserError
from ecl.registry import DATASETS, type_name
from ecl.settings import OneOf, Whole, validate_params


@dataclass
class _Decoded:
    """Images (N, 3, H, W), and the path of each, or None."""

    images: torch.Tensor
    paths: list[str | None]


#: Decoded images in use, by the configuration of their dataset.
_in_use: WeakValueDictionary[str, _Decoded] = WeakValueDictionary()


@DATASETS.register_module()
class InMemoryDataset(Dataset):
    """Run a dataset's pipeline once for each image and keep the results in one shared tensor.

    For data that fit in memory after a pipeline without random transforms: long-tailed CIFAR has 30
    MB of training images. All workers share the tensor, as do datasets with the same configuration
    in a process. Random transforms belong in the views of MultiViewDataPreprocessor, which augment
    whole batches.

    Args:
        dataset: The source: a config or a dataset, wrappers included. Its pipeline ends in
            ``PackInputs`` and gives images (3, H, W) of one size.

    Raises:
        UserError: If the dataset is empty, or its images differ in size or have several views.

    Example:
        >>> dataset = InMemoryDataset(
        ...     dict(type='Digits', split='test', pipeline=[dict(type='PackInputs')]))
        >>> dataset.images.shape
        torch.Size([500, 3, 8, 8])
    """

    def __init__(self, dataset: dict | Dataset) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self._labels = gt_labels(self.dataset)
        key = repr(dataset) if isinstance(dataset, dict) else ''
        decoded = _in_use.get(key)
        if decoded is None or len(decoded.paths) != len(self):
            decoded = _decode(self.dataset)
            if key:
                _in_use[key] = decoded
        self._decoded = decoded

    @property
    def images(self) -> torch.Tensor:
        """The images, shape (N, 3, H, W), in shared memory if it has room for them."""
        return self._decoded.images

    @property
    def source_indices(self) -> np.ndarray:
        """Indices of the images in the source, shape (N,), int64: all in order."""
        return np.arange(len(self))

    @property
    def metainfo(self) -> dict:
        """Metainfo of the source."""
        return getattr(self.dataset, 'metainfo', {})

    @property
    def CLASSES(self) -> Any:
        """Class names in label order, or None where the source has none."""
        return self.metainfo.get('classes')

    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of all images, shape (N,), int64."""
        return self._labels.copy()

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of one image, as a list of one."""
        return [int(self._labels[idx])]

    def __getitem__(self, idx: int) -> dict:
        sample = DataSample().set_gt_label(int(self._labels[idx]))
        if (path := self._decoded.paths[idx]) is not None:
            sample.set_metainfo({'img_path': path})
        return {'inputs': self.images[idx], 'data_samples': sample}

    def __len__(self) -> int:
        return len(self._labels)


def without_memory(config: Any) -> Any:
    """Return the config of a dataset without :class:`InMemoryDataset` around it."""
    while type_name(config) == InMemoryDataset.__name__:
        config = config['dataset']
    return config


def without_transforms(config: Any) -> Any:
    """Return the config of a dataset without pipelines and :class:`InMemoryDataset`.

    If the results for two datasets are equal, they have the same images and labels.
    """
    if isinstance(config, Mapping):
        config = without_memory(config)  # which would run the pipeline
        return {k: without_transforms(config[k]) for k in sorted(config) if k != 'pipeline'}
    return [*map(without_transforms, config)] if isinstance(config, list | tuple) else config


def _check_bad_images_stop(dataset: Any) -> None:
    """Check for ``bad='stop'``: a replacement would keep the label and path of the bad image."""
    for leaf in leaves(dataset):
        for transform in getattr(getattr(leaf, 'pipeline', None), 'transforms', ()):
            if getattr(transform, 'bad', 'stop') != 'stop':
                raise UserError(
                    f"InMemoryDataset: got LoadImage(bad='{transform.bad}'), expected bad='stop'. "
                    'Remove the images that cannot be read: ecl check lists them.'
                )


def _decode(dataset: Any) -> _Decoded:
    _check_bad_images_stop(dataset)
    images: torch.Tensor | None = None
    paths = []
    console = Console(stderr=True)
    for index in track(range(len(dataset)), 'Images into memory', console=console, transient=True):
        item = dataset[index]
        image = item['inputs']
        paths.append(item.get('data_samples', {}).get('img_path'))
        if images is None:
            if not isinstance(image, torch.Tensor):
                raise UserError(
                    'InMemoryDataset: the pipeline gives several views of an image, expected one. '
                    'Move the views to data_preprocessor.views.'
                )
            images = image.new_empty((len(dataset), *image.shape))
            # If /dev/shm is too small, each worker inherits the images when it is forked.
            with suppress(RuntimeError):
                images.share_memory_()
        if image.shape != images.shape[1:]:
            raise UserError(
                f'InMemoryDataset: image {index} has another shape: got {tuple(image.shape)}, '
                f'expected {tuple(images.shape[1:])} as of the first. Add Resize to the pipeline.'
            )
        images[index] = image
    if images is None:
        raise UserError('InMemoryDataset: the dataset has no images')
    return _Decoded(images, paths)


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 handwritten digits of 8 x 8 pixels in ten classes.

    The test split holds ``test_per_class`` images of each class, a fixed random choice. All others
    form the train split. An image is ``img``, shape (8, 8, 3), uint8, its three channels equal, so
    BGR and RGB are the same.

    Args:
        split: 'train' or 'test'.
        test_per_class: Test images of each class, 1 to 173. The smallest class has 174 images.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If ``split`` or ``test_per_class`` is out of range.

    Example:
        >>> Digits(split='test')[0]['img'].shape
        (8, 8, 3)
    """

    METAINFO = {'classes': tuple('0123456789')}

    @validate_params(split=OneOf('train', 'test'), test_per_class=Whole(at_least=1, at_most=173))
    def __init__(self, split: str = 'train', test_per_class: int = 50, **kwargs: Any) -> None:
        self.split = split
        self.test_per_class = test_per_class
        # Serialised annotations save memory with many workers; here they would only take time.
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """Return images and labels of the split, in scikit-learn's order."""
        digits = load_digits()
        labels = digits.target
        tested = np.zeros(len(labels), dtype=bool)
        for label in range(10):
            members = np.random.default_rng(label).permutation(np.flatnonzero(labels == label))
            tested[members[: self.test_per_class]] = True
        # A pixel counts the dark points of a scanned 4 x 4 block, 0 to 16.
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return [
            {'img': np.repeat(grey[i, :, :, None], 3, axis=2), 'gt_label': int(labels[i])}
            for i in np.flatnonzero(tested == (self.split == 'test'))
        ]

"""A dataset that decodes its images once and keeps them in memory."""

from typing import Any

import numpy as np
import torch
from mmpretrain.structures import DataSample
from rich.console import Console
from rich.progress import track
from torch.utils.data import Dataset

from ecl.datasets.class_counts import gt_labels
from ecl.errors import UserError
from ecl.registry import DATASETS


@DATASETS.register_module()
class InMemoryDataset(Dataset):
    """Run a dataset's pipeline once for each image and keep the results in one shared tensor.

    For data that fit in memory after a pipeline without random steps: long-tailed CIFAR has 30 MB
    of training images. All workers share the tensor. Random steps belong to the views of
    MultiViewDataPreprocessor, which augment whole batches.

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
        self.images = _decode(self.dataset)

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
        return {'inputs': self.images[idx], 'data_samples': sample}

    def __len__(self) -> int:
        return len(self._labels)


def _decode(dataset: Any) -> torch.Tensor:
    images: torch.Tensor | None = None
    console = Console(stderr=True)
    for index in track(range(len(dataset)), 'Images into memory', console=console, transient=True):
        image = dataset[index]['inputs']
        if images is None:
            if not isinstance(image, torch.Tensor):
                raise UserError(
                    'InMemoryDataset: the pipeline gives several views of an image, expected one. '
                    'Move the views to data_preprocessor.views.'
                )
            images = image.new_empty((len(dataset), *image.shape)).share_memory_()
        if image.shape != images.shape[1:]:
            raise UserError(
                f'InMemoryDataset: image {index} has another shape: got {tuple(image.shape)}, '
                f'expected {tuple(images.shape[1:])} as of the first. Add Resize to the pipeline.'
            )
        images[index] = image
    if images is None:
        raise UserError('InMemoryDataset: the dataset has no images')
    return images

"""Labels and class counts of a dataset as it was built, whatever wraps it."""

import pickle
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmpretrain.datasets import BaseDataset as ClassificationDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import ConcatDataset, Subset

from ecl.errors import UserError


def gt_labels(dataset: Any) -> np.ndarray:
    """Label of every image, in the order of the dataset's indices.

    Walks through repeated, concatenated, class-balanced, k-fold and subset wrappers, so that an
    image which a wrapper shows twice counts twice and one that it hides does not count.

    Args:
        dataset: A classification dataset of MMPretrain or of this package, or a wrapper of one.

    Returns:
        Labels, shape (N,), int64.

    Raises:
        UserError: If the dataset does not give one whole number as the label of each image.
    """
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([gt_labels(part) for part in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(gt_labels(dataset.dataset), dataset.times)
    if isinstance(dataset, ClassBalancedDataset):
        return gt_labels(dataset.dataset)[dataset.repeat_indices]
    if isinstance(dataset, KFoldDataset):
        return gt_labels(dataset.dataset)
    if isinstance(dataset, Subset):
        return gt_labels(dataset.dataset)[list(dataset.indices)]
    return _whole_numbers(_own_labels(dataset), dataset)


def count_classes(dataset: Any, num_classes: int | None = None) -> list[int]:
    """Number of images of each class in the dataset as it was built.

    Args:
        dataset: As in :func:`gt_labels`.
        num_classes: Number of classes C that the model tells apart. Without it the dataset's class
            names decide, and without those the largest label.

    Returns:
        C plain integers; a class without images has 0.

    Raises:
        UserError: If ``num_classes`` is not what the dataset has, or a label is out of range.

    Example:
        >>> from ecl.datasets import Digits
        >>> count_classes(Digits(split='test'))
        [50, 50, 50, 50, 50, 50, 50, 50, 50, 50]
    """
    labels = gt_labels(dataset)
    name = type(dataset).__name__
    named = known_num_classes(dataset)
    if num_classes is not None and named is not None and num_classes != named:
        raise UserError(
            f'num_classes={num_classes} does not fit the data: {name} has {named} classes; '
            f'set num_classes={named} in the model, or choose the dataset that belongs to it'
        )
    size = num_classes or named or int(labels.max(initial=-1)) + 1
    strange = labels[(labels < 0) | (labels >= size)]
    if strange.size:
        raise UserError(
            f'label {strange[0]} in {name} is out of range: with {size} classes '
            f'labels run from 0 to {size - 1}; correct the labels or num_classes'
        )
    return np.bincount(labels, minlength=size).tolist()


def known_num_classes(dataset: Any) -> int | None:
    """Number of class names in the dataset's metainfo; None where it has none."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    return None if classes is None else len(classes)


def _own_labels(dataset: Any) -> Any:
    cls = type(dataset)
    plain_labels = getattr(cls, 'get_gt_labels', None) in (
        None,
        ClassificationDataset.get_gt_labels,
    )
    plain_info = getattr(cls, 'get_data_info', None) is BaseDataset.get_data_info
    if plain_labels and plain_info:
        return [info.get('gt_label') for info in _annotations(dataset)]
    if hasattr(dataset, 'get_gt_labels'):
        # The runner's num_batch_per_epoch hides the tail of a dataset but not of this list.
        return dataset.get_gt_labels()[: len(dataset)]
    if hasattr(dataset, 'get_data_info'):
        return [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    raise UserError(
        f'cannot tell the labels of {cls.__name__}: give it a method get_gt_labels() that returns '
        'the label of each image'
    )


def _annotations(dataset: BaseDataset) -> list[dict]:
    # One pass over the serialized annotations: get_data_info, made for single images, is several
    # times slower, which counts in seconds for large datasets.
    if not dataset.serialize_data:
        return dataset.data_list
    packed = memoryview(dataset.data_bytes)
    ends = dataset.data_address.tolist()
    return [pickle.loads(packed[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _whole_numbers(labels: Any, dataset: Any) -> np.ndarray:
    try:
        array = np.asarray(labels)
    except ValueError:  # lists of different lengths
        array = np.empty(0, dtype=object)
    if array.size == 0 and len(labels) == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f'{type(dataset).__name__} does not give one whole number as the gt_label of each '
            'image; long-tailed classification needs single-label data'
        )
    return array.astype(np.int64)

"""Labels of a dataset, with its wrappers, and the number of images of each class."""

import pickle
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmpretrain.datasets import BaseDataset as ClassificationDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import ConcatDataset, Subset

from ecl.datasets.class_names import known_num_classes
from ecl.errors import UserError


def gt_labels(dataset: Any) -> np.ndarray:
    """Return the label of every image, in the order of the dataset's indices.

    Walks through repeated, concatenated, class-balanced, k-fold and subset wrappers. An image that
    a wrapper repeats is counted twice; an image that it leaves out is not counted.

    Args:
        dataset: A classification dataset of MMPretrain or of this package, or a wrapper of one.

    Returns:
        Labels, shape (N,), int64.

    Raises:
        UserError: If the dataset does not give one whole number as the label of each image.
    """
    return _walk(dataset)[0]


def count_classes(dataset: Any, num_classes: int | None = None) -> list[int]:
    """Count how often an epoch shows the images of each class.

    These are the counts for the prior of a loss. A repeated image counts as often as it is shown;
    :func:`count_distinct` counts it once.

    Args:
        dataset: As in :func:`gt_labels`.
        num_classes: Number of classes C of the model. Defaults to the number of class names of the
            dataset, else to the largest label plus one.

    Returns:
        C plain integers; a class without images has 0.

    Raises:
        UserError: If ``num_classes`` is not that of the dataset, or a label is out of range.

    Example:
        >>> from ecl.datasets import Digits
        >>> count_classes(Digits(split='test'))
        [50, 50, 50, 50, 50, 50, 50, 50, 50, 50]
    """
    return _count(gt_labels(dataset), dataset, num_classes)


def count_distinct(dataset: Any) -> list[int]:
    """Count the distinct images of each class, without the repetitions of wrappers.

    These are the counts for the shot groups. Result and errors are those of :func:`count_classes`.

    Example:
        >>> from mmengine.dataset import RepeatDataset
        >>> from ecl.datasets import Digits
        >>> count_distinct(RepeatDataset(Digits(split='test'), times=2))[:3]
        [50, 50, 50]
    """
    labels, images = _walk(dataset)
    first = np.unique(images, return_index=True)[1]
    return _count(labels[first], dataset, None)


def _count(labels: np.ndarray, dataset: Any, num_classes: int | None) -> list[int]:
    name = type(dataset).__name__
    named = known_num_classes(dataset)
    if num_classes is not None and named is not None and num_classes != named:
        raise UserError(
            f'num_classes={num_classes} does not fit the data: {name} has {named} classes. '
            f'Set num_classes={named} in the model, or choose the dataset that belongs to it.'
        )
    size = num_classes or named or int(labels.max(initial=-1)) + 1
    strange = labels[(labels < 0) | (labels >= size)]
    if strange.size:
        raise UserError(
            f'label out of range in {name}: got {strange[0]}, expected 0 to {size - 1} with {size} '
            'classes. Correct the labels or num_classes.'
        )
    return np.bincount(labels, minlength=size).tolist()


def _walk(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the label and the image number of each index, both (N,)."""
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if isinstance(dataset, ConcatDataset):
        labels, images = zip(*map(_walk, dataset.datasets), strict=True)
        sizes = [1 + part.max(initial=-1) for part in images]
        offsets = np.cumsum([0, *sizes[:-1]])
        shifted = [part + offset for part, offset in zip(images, offsets, strict=True)]
        return np.concatenate(labels), np.concatenate(shifted)
    if isinstance(dataset, KFoldDataset):  # it has already selected its part of the source
        return _walk(dataset.dataset)
    if isinstance(dataset, RepeatDataset):
        labels, images = _walk(dataset.dataset)
        return np.tile(labels, dataset.times), np.tile(images, dataset.times)
    if (indices := _source_indices(dataset)) is not None:
        labels, images = _walk(dataset.dataset)
        return labels[indices], images[indices]
    labels = _whole_numbers(_own_labels(dataset), dataset)
    return labels, np.arange(len(labels))


def _source_indices(dataset: Any) -> np.ndarray | None:
    """Return which indices of its source a wrapper shows, (N,); None for any other dataset."""
    if isinstance(dataset, ClassBalancedDataset):
        return np.asarray(dataset.repeat_indices, dtype=np.int64)
    if isinstance(dataset, Subset):
        return np.asarray(dataset.indices, dtype=np.int64)
    return getattr(dataset, 'source_indices', None)


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
        # num_batch_per_epoch of the runner shortens the dataset but not this list.
        return dataset.get_gt_labels()[: len(dataset)]
    if hasattr(dataset, 'get_data_info'):
        return [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    raise UserError(
        f'{cls.__name__} gives no labels: expected a method get_gt_labels() that returns the label '
        'of each image. Add one.'
    )


def _annotations(dataset: BaseDataset) -> list[dict]:
    # One pass over the serialized annotations. get_data_info, made for single images, takes
    # several times as long, which is seconds for large datasets.
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
            f'{type(dataset).__name__}: the gt_label of each image must be one whole number. '
            'Long-tailed classification needs single-label data.'
        )
    return array.astype(np.int64)

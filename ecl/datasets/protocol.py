"""Protocol of a dataset: its source and what was made of it, in plain values."""

from pathlib import PurePath
from typing import Any

from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmengine.logging import print_log
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from ecl.datasets.class_counts import count_classes


def describe(dataset: Any) -> dict[str, str | int | float]:
    """Describe where a dataset comes from and what was made of it.

    Args:
        dataset: A classification dataset or a wrapper of one, as for
            :func:`~ecl.datasets.count_classes`.

    Returns:
        A plain record:

        - ``source``: class and folder of the innermost dataset, such as 'ImageFolder cifar100';
          several are joined by ' + '.
        - ``split``: its split; absent without one.
        - ``list``: the list of its images and whether that is the public one, such as
          'ImageNet_LT_val (public, verified)'; absent without one.
        - ``subset``: the choice among its images, such as 'random, seed 0, exponential
          profile, at most 500 per class'; 'as given' without one.
        - ``imbalance_factor``: the one asked for, else the size of the largest class over that of
          the smallest with images; absent for an empty dataset.
        - ``num_images``, ``num_classes``.

    Example:
        >>> from ecl.datasets import Digits
        >>> record = describe(Digits(split='test'))
        >>> record['source'], record['num_images'], record['imbalance_factor']
        ('Digits', 500, 1.0)
    """
    counts = count_classes(dataset)
    sources = leaves(dataset)
    record: dict[str, str | int | float] = {'source': _joined(map(_source, sources))}
    splits = [leaf.split for leaf in sources if isinstance(getattr(leaf, 'split', None), str)]
    if any(splits):
        record['split'] = _joined(splits)
    lists = [leaf.list_record for leaf in sources if hasattr(leaf, 'list_record')]
    if lists:
        record['list'] = _joined(lists)
    record['subset'] = ', '.join(_steps(dataset)) or 'as given'
    present = [count for count in counts if count]
    if present:
        asked = _asked_imbalance(dataset)
        record['imbalance_factor'] = float(asked or max(present) / min(present))
    record['num_images'] = len(dataset)
    record['num_classes'] = len(counts)
    return record


def _parts(dataset: Any) -> list:
    if hasattr(dataset, 'datasets'):
        return list(dataset.datasets)
    return [dataset.dataset] if hasattr(dataset, 'dataset') else []


def leaves(dataset: Any) -> list:
    """Return the innermost datasets under any wrappers, in order."""
    parts = _parts(dataset)
    return [leaf for part in parts for leaf in leaves(part)] if parts else [dataset]


def _joined(names: Any) -> str:
    return ' + '.join(dict.fromkeys(name for name in names if name))


def _source(leaf: Any) -> str:
    folder = PurePath(getattr(leaf, 'data_root', None) or '').name
    return f'{type(leaf).__name__} {folder}'.strip()


def _steps(dataset: Any) -> list[str]:
    inner = dict.fromkeys(step for part in _parts(dataset) for step in _steps(part))
    own = _own_step(dataset)
    return [*inner, own] if own else [*inner]


def _own_step(dataset: Any) -> str | None:
    if isinstance(dataset, RepeatDataset):
        return f'repeated {dataset.times} times'
    if isinstance(dataset, ClassBalancedDataset):
        return f'rare classes repeated up to the frequency {dataset.oversample_thr}'
    if isinstance(dataset, KFoldDataset):
        part = 'alone' if dataset.test_mode else 'left out'
        return f'fold {dataset.fold + 1} of {dataset.num_splits} {part}, seed {dataset.seed}'
    if isinstance(dataset, Subset):
        inner: Any = dataset.dataset
        return f'{len(dataset)} of {len(inner)} images by index'
    if isinstance(dataset, BaseDataset):
        return None if dataset._indices is None else 'indices set in the config'
    return getattr(dataset, 'subset_rule', None)


def _asked_imbalance(dataset: Any) -> float | None:
    own = getattr(dataset, 'imbalance_factor', None)
    if own is not None:
        return own
    parts = _parts(dataset)
    return _asked_imbalance(parts[0]) if len(parts) == 1 else None


class NotedDataset:
    """Mixin of datasets that tell what they left out or miss: in the log, and in ``notes``."""

    @property
    def notes(self) -> list[str]:
        """What the user should know, one line each."""
        return self.__dict__.setdefault('_notes', [])

    def note(self, line: str) -> None:
        """Log a line and keep it."""
        self.notes.append(line)
        print_log(line, logger='current')

"""Protocol of a dataset: source, wrappers, subset, and public image lists."""

import hashlib
from pathlib import PurePath
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmengine.logging import print_log
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from ecl.datasets.class_counts import count_classes


def describe(dataset: Any) -> dict[str, str | int | float]:
    """Describe the source of a dataset and how it was changed.

    Args:
        dataset: A classification dataset or a wrapper of one, as for
            :func:`~ecl.datasets.count_classes`.

    Returns:
        A plain record:

        - ``source``: class and folder of the innermost dataset, such as 'ImageFolder cifar100';
          several are joined by ' + '.
        - ``split``: its split; absent without one.
        - ``list``: the list of its images, and whether it is the public list, such as
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
    """Mixin of datasets that report left-out and missing images in the log and in ``notes``."""

    @property
    def notes(self) -> list[str]:
        """Notes for the user, one line each."""
        return self.__dict__.setdefault('_notes', [])

    def note(self, line: str) -> None:
        """Log a line and keep it."""
        self.notes.append(line)
        print_log(line, logger='current')


class PublicList(NamedTuple):
    """A list that published results use.

    Attributes:
        name: File name without extension.
        blob: Content sum, see :func:`blob_sum`.
        images: Number of lines.
        classes: Number of classes C of the dataset.
        most: Images of the largest class.
        least: Images of the smallest class; 0 where the list leaves classes out.
    """

    name: str
    blob: str
    images: int
    classes: int
    most: int
    least: int


PUBLIC_LISTS = tuple(
    PublicList(*row)
    for row in (
        ('ImageNet_LT_train', 'a063f095fcd475db4cf8b0658c4b73955535bbf9', 115846, 1000, 1280, 5),
        ('ImageNet_LT_val', '3ed3188b2f44829ce2dec1cc27040d8d40984088', 20000, 1000, 20, 20),
        ('ImageNet_LT_test', '76a2fb9749d6cd29e765cc4f8c270f2504131e2f', 50000, 1000, 50, 50),
        ('ImageNet_LT_forward50', 'fd6b9017529a6d6663984c72f384efca22c7910e', 12058, 1000, 50, 1),
        ('ImageNet_LT_backward50', '3bb919f1383a5b442791a737bd55bcb7d3542556', 12058, 1000, 50, 1),
        ('Places_LT_train', '1d608b558c25c271da75c06f1e5e3625a4ebcb79', 62500, 365, 4980, 5),
        ('Places_LT_val', '89c29c0973328f77d7a77a8b580634ce20acdc11', 7300, 365, 20, 20),
        ('Places_LT_test', 'd43400ac9bc2275baa058456da40b20abb50b108', 36500, 365, 100, 100),
        ('Places_LT_forward50', 'c4bb41c41922de6517a81be5418b0f609a5dcbe9', 8989, 365, 100, 2),
        ('Places_LT_backward50', '412501c8d0c23ac7a934a24628c37b3b9f909a05', 8989, 365, 100, 2),
        # The same images in the folders of the easy-format download.
        ('Places_LT_train', '6392252f8ae867bc8a5e841cc1b29e5b8ef4b636', 62500, 365, 4980, 5),
        ('Places_LT_val', 'b93a2ca58ccb7f3b671c176f395a70bf52c95533', 7300, 365, 20, 20),
        ('Places_LT_test', 'e732e58b8aa718a2c1c11933375f5710652c2b93', 36500, 365, 100, 100),
        ('iNaturalist18_train', '4accdb7584d2f0a5106c40a33ed6afa392189bcc', 437513, 8142, 1000, 2),
        ('iNaturalist18_val', '4c23900857fd0f5adcd4cc0dffef345039eeb05f', 24426, 8142, 3, 3),
        ('iNaturalist18_forward3', 'd02d9c6f718257d7190b54dc5754df0668851fe4', 11147, 8142, 3, 0),
        ('iNaturalist18_backward3', '90153d693619162cbbb94061eed7261c61ff2a60', 11137, 8142, 3, 0),
    )
)


def blob_sum(content: bytes) -> str:
    """Compute the checksum that git, and so the repositories of the lists, uses for a content.

    It shows whether a list is the public one. It does not protect against manipulation.

    Example:
        >>> blob_sum(b'')
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b'blob %d\0' % len(content) + content, usedforsecurity=False).hexdigest()


def find_public_list(blob: str) -> PublicList | None:
    """Return the public list with this content, or None.

    Args:
        blob: Content sum, see :func:`blob_sum`.
    """
    return next((entry for entry in PUBLIC_LISTS if entry.blob == blob), None)


def list_record(name: str, blob: str) -> str:
    """Describe a list for the protocol.

    Args:
        name: File name without extension.
        blob: Content sum, see :func:`blob_sum`.

    Returns:
        '<public name> (public, verified)' for a public list, under any file name; '<name> (local
        variant)' for other content under the name of one; '<name> (local)' else.

    Example:
        >>> list_record('ImageNet_LT_val', blob_sum(b'a.jpg 0'))
        'ImageNet_LT_val (local variant)'
    """
    public = find_public_list(blob)
    if public:
        return f'{public.name} (public, verified)'
    variant = name in {entry.name for entry in PUBLIC_LISTS}
    return f'{name} (local variant)' if variant else f'{name} (local)'

from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.runner import Runner
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from ecl.datasets import (
    Digits,
    InMemoryDataset,
    LongTailDataset,
    count_classes,
    count_distinct,
    gt_labels,
    known_num_classes,
)
from ecl.errors import UserError

LABELS = [0, 0, 0, 0, 0, 0, 1, 1, 2, 0]


def _k_fold(dataset, **kwargs):
    return KFoldDataset(dict(type=lambda: dataset), fold=1, num_splits=5, seed=3, **kwargs)


WRAPPERS = {
    'plain': lambda d: d,
    'repeat': lambda d: RepeatDataset(d, times=3),
    'concat': lambda d: ConcatDataset([d, d.get_subset([6, 8])]),
    'torch concat': lambda d: torch.utils.data.ConcatDataset([d, Subset(d, [0, 9])]),
    'class balanced': lambda d: ClassBalancedDataset(d, oversample_thr=0.5),
    'k-fold, training part': lambda d: _k_fold(d),
    'k-fold, held out': lambda d: _k_fold(d, test_mode=True),
    'subset': lambda d: Subset(d, np.array([8, 1, 1, -2])),
    'nested': lambda d: Subset(
        RepeatDataset(dict(type=lambda: ClassBalancedDataset(d, 0.9)), 2), [0, 8, 20]
    ),
}


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('wrap', WRAPPERS.values(), ids=WRAPPERS)
def test_labels_are_those_of_the_items_shown(labelled, wrap, serialize):
    dataset = wrap(labelled(LABELS, serialize_data=serialize))
    shown = [dataset[i]['gt_label'] for i in range(len(dataset))]
    assert gt_labels(dataset).tolist() == shown
    counts = Counter(shown)
    assert count_classes(dataset, 3) == [counts[0], counts[1], counts[2]]


@pytest.mark.parametrize('wrap', WRAPPERS.values(), ids=WRAPPERS)
def test_distinct_images_count_once(labelled, wrap):
    dataset = wrap(labelled(LABELS))
    distinct = {dataset[i]['number']: dataset[i]['gt_label'] for i in range(len(dataset))}
    counts = Counter(distinct.values())
    if isinstance(dataset, torch.utils.data.ConcatDataset):  # whose parts are told apart
        counts = Counter(gt_labels(dataset).tolist())
    assert count_distinct(dataset) == [counts[label] for label in range(max(counts) + 1)]


def test_wrappers_of_the_package_show_the_distinct_images_of_their_source(labelled):
    repeated = RepeatDataset(labelled(LABELS), times=3)
    long_tailed = LongTailDataset(repeated)
    assert count_classes(long_tailed) == [21, 6, 3]
    assert count_distinct(long_tailed) == [7, 2, 1]
    drawn = LongTailDataset(labelled(LABELS), imbalance_factor=4, max_per_class=4, subset='first')
    assert count_distinct(drawn) == count_classes(drawn) == [4, 2, 1]


def test_images_in_memory_are_distinct_as_in_their_source():
    digits = Digits(split='test', pipeline=[dict(type='PackInputs')])
    dataset = InMemoryDataset(RepeatDataset(digits, times=2))
    assert (count_classes(dataset), count_distinct(dataset)) == ([100] * 10, [50] * 10)


def test_lazy_dataset_is_read(labelled):
    lazy = RepeatDataset(labelled(LABELS, lazy_init=True), times=2, lazy_init=True)
    assert count_classes(lazy) == [14, 4, 2]


def test_counts_are_plain_integers(labelled):
    assert {type(count) for count in count_classes(labelled(LABELS))} == {int}


def test_classes_without_images_count_zero(labelled):
    assert count_classes(labelled([1, 1], classes=['a', 'b', 'c'])) == [0, 2, 0]
    assert count_classes(labelled([1, 1]), 4) == [0, 2, 0, 0]


def test_empty_dataset(labelled):
    empty = labelled([])
    assert gt_labels(empty).tolist() == []
    assert count_classes(empty, 2) == [0, 0]


def test_own_annotations_are_asked_for(labelled):
    class Shifted(type(labelled([0]))):
        def get_data_info(self, idx):
            info = super().get_data_info(idx)
            return {**info, 'gt_label': info['gt_label'] + 1}

    class Halved(type(labelled([0]))):
        def get_gt_labels(self):
            return super().get_gt_labels() // 2

    assert gt_labels(Shifted([0, 1])).tolist() == [1, 2]
    assert gt_labels(Halved([0, 2, 4])).tolist() == [0, 1, 2]


def test_shortened_epoch_counts_what_it_shows(labelled):
    config = dict(
        dataset=dict(type=lambda: labelled(LABELS)),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=2,
        num_batch_per_epoch=4,
        num_workers=0,
    )
    assert count_classes(Runner.build_dataloader(config).dataset, 3) == [6, 2, 0]


@pytest.mark.parametrize('label', [3, -1])
def test_label_out_of_range_names_label_and_dataset(labelled, label):
    dataset = labelled([0, label], classes=['a', 'b', 'c'])
    with pytest.raises(UserError, match=rf'Labelled: got {label}, expected 0 to 2'):
        count_classes(dataset)


def test_num_classes_against_the_class_names(labelled):
    dataset = labelled([0, 1, 2], classes=['a', 'b', 'c'])
    assert known_num_classes(dataset) == known_num_classes(Subset(dataset, [0])) == 3
    assert known_num_classes(labelled([0])) is None
    with pytest.raises(UserError, match=r'num_classes=10 .*has 3 classes'):
        count_classes(dataset, 10)


def test_labels_that_are_not_single_whole_numbers(labelled):
    for labels in ([[0, 1], [2]], [[0, 1], [2, 0]], [0.5, 1.0], [None, 1], ['cat', 'dog']):
        with pytest.raises(UserError, match='one whole number'):
            gt_labels(labelled(labels))


def test_dataset_without_labels():
    with pytest.raises(UserError, match='get_gt_labels'):
        gt_labels(torch.utils.data.TensorDataset(torch.zeros(2)))

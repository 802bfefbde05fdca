import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from ecl.datasets import Digits, LongTailDataset, describe


def _long_tail():
    return LongTailDataset(Digits(), imbalance_factor=50, max_per_class=120, seed=4)


def test_plain_dataset():
    assert describe(Digits('test')) == {
        'source': 'Digits',
        'split': 'test',
        'subset': 'as given',
        'imbalance_factor': 1.0,
        'num_images': 500,
        'num_classes': 10,
    }


def test_long_tailed_dataset_reports_what_was_asked_for():
    assert describe(_long_tail()) == {
        'source': 'Digits',
        'split': 'train',
        'subset': 'random, seed 4, exponential profile, at most 120 per class',
        'imbalance_factor': 50.0,
        'num_images': 331,
        'num_classes': 10,
    }


def test_data_taken_as_they_are_report_what_they_have(labelled):
    record = describe(LongTailDataset(labelled([0] * 9 + [1] * 6 + [3] * 2)))
    assert record['subset'] == 'as given'
    assert record['imbalance_factor'] == 4.5
    assert 'split' not in record


def test_source_names_the_folder_alone(labelled):
    assert describe(labelled([0], data_root='/home/me/data/birds/'))['source'] == 'Labelled birds'


def test_wrappers_say_what_they_did(labelled):
    config = dict(type=_long_tail)
    drawn = 'random, seed 4, exponential profile, at most 120 per class'
    told = {
        f'{drawn}, repeated 2 times': RepeatDataset(config, 2),
        f'{drawn}, rare classes repeated up to the frequency 0.1': ClassBalancedDataset(
            config, 0.1
        ),
        f'{drawn}, fold 2 of 3 left out, seed 7': KFoldDataset(config, 1, 3, seed=7),
        f'{drawn}, fold 2 of 3 alone, seed 7': KFoldDataset(config, 1, 3, test_mode=True, seed=7),
        f'{drawn}, 2 of 331 images by index': Subset(_long_tail(), [0, 300]),
        f'repeated 2 times, {drawn}': LongTailDataset(
            RepeatDataset(Digits(), 2), imbalance_factor=50, max_per_class=120, seed=4
        ),
        'indices set in the config': Digits(indices=20),
    }
    for subset, dataset in told.items():
        record = describe(dataset)
        assert record['subset'] == subset
        assert record['num_images'] == len(dataset)
        assert record['source'] == 'Digits'


def test_concatenated_sources_are_all_named(labelled):
    both = ConcatDataset([Digits('train'), Digits('test')])
    record = describe(both)
    assert (record['source'], record['split'], record['num_images']) == (
        'Digits',
        'train + test',
        1797,
    )


def test_empty_dataset_has_no_imbalance(labelled):
    assert 'imbalance_factor' not in describe(labelled([]))


def test_values_are_plain(tmp_path):
    torch.save(describe(_long_tail()), tmp_path / 'protocol.pth')
    assert torch.load(tmp_path / 'protocol.pth', weights_only=True) == describe(_long_tail())

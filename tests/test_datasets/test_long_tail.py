import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from mmpretrain.datasets import KFoldDataset

from ecl.datasets import LongTailDataset, count_classes, describe, long_tail_counts
from ecl.errors import UserError
from ecl.registry import DATASETS


@pytest.fixture
def source(labelled):
    """Four classes of 50, 40, 30 and 20 images, mixed."""
    labels = np.random.default_rng(5).permutation(np.repeat([0, 1, 2, 3], [50, 40, 30, 20]))
    return labelled(labels.tolist(), classes=['ant', 'bee', 'cat', 'dog'])


def _numbers(dataset):
    return [dataset[i]['number'] for i in range(len(dataset))]


def test_draws_the_profile_and_keeps_the_order(source):
    dataset = LongTailDataset(source, imbalance_factor=5)
    assert dataset.class_counts == long_tail_counts(4, 50, 5).tolist()
    assert count_classes(dataset) == dataset.class_counts
    assert len(dataset) == sum(dataset.class_counts)
    assert _numbers(dataset) == sorted(set(_numbers(dataset)))


def test_everything_said_of_an_item_agrees(source):
    dataset = LongTailDataset(RepeatDataset(source, 2), imbalance_factor=5, max_per_class=60)
    for i, label in enumerate(dataset.get_gt_labels()):
        assert dataset[i]['gt_label'] == dataset.get_data_info(i)['gt_label'] == label
        assert dataset.get_cat_ids(i) == [label]
        assert source.labels[dataset[i]['number']] == label


def test_same_seed_same_images_other_seed_others(source):
    first, again, other = (
        _numbers(LongTailDataset(source, imbalance_factor=5, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('subset', ['random', 'cao', 'first'])
def test_steeper_subset_lies_within_the_flatter_one(source, subset, seed):
    drawn = [
        set(_numbers(LongTailDataset(source, factor, max_per_class=40, subset=subset, seed=seed)))
        for factor in (2.5, 4, 7.3, 40)
    ]
    assert drawn[0] > drawn[1] > drawn[2] > drawn[3]


@pytest.mark.parametrize('profile', ['exponential', 'step', 'pareto'])
def test_profile_decides_the_counts(labelled, profile):
    dataset = LongTailDataset(labelled([0, 1, 2, 3] * 60), imbalance_factor=6, profile=profile)
    assert dataset.class_counts == long_tail_counts(4, 60, 6, profile).tolist()
    assert f'{profile} profile' in describe(dataset)['subset']


def test_first_subset_is_the_head_of_each_class(source):
    dataset = LongTailDataset(source, imbalance_factor=5, subset='first')
    labels = np.array(source.labels)
    for label, count in enumerate(dataset.class_counts):
        members = np.flatnonzero(labels == label)
        assert [n for n in _numbers(dataset) if labels[n] == label] == members[:count].tolist()
    assert describe(dataset)['subset'] == 'first, exponential profile, at most 50 per class'


def test_test_sets_drawn_forward_and_backward(labelled):
    balanced = labelled([3, 2, 1, 0] * 20)
    forward, backward = (
        LongTailDataset(balanced, imbalance_factor=5, order=order)
        for order in ('forward', 'backward')
    )
    assert forward.class_counts == [20, 11, 6, 4]
    assert backward.class_counts == [4, 6, 11, 20]
    assert 'backward' in describe(backward)['subset']


def test_classes_may_be_ranked_by_the_training_set(labelled):
    balanced, training = labelled([0, 1, 2, 3] * 20), labelled([2] * 9 + [0] * 5 + [3] * 2 + [1])
    drawn = {
        order: LongTailDataset(balanced, imbalance_factor=5, order=order, ranked_by=training)
        for order in ('forward', 'backward')
    }
    assert drawn['forward'].class_counts == [11, 4, 20, 6]
    assert drawn['backward'].class_counts == [6, 20, 4, 11]
    assert 'classes ranked as in Labelled' in describe(drawn['forward'])['subset']
    with pytest.raises(UserError, match=r'ranked_by: got 2 classes, expected 4'):
        LongTailDataset(balanced, imbalance_factor=5, ranked_by=labelled([0, 1]))


def test_a_part_has_its_own_labels_and_counts(source):
    whole = LongTailDataset(source, imbalance_factor=5)
    indices = np.flatnonzero(whole.get_gt_labels() != 1)[::2]
    part = whole.get_subset(indices)
    assert _numbers(part) == [_numbers(whole)[i] for i in indices]
    labels = whole.get_gt_labels()[indices]
    assert part.get_gt_labels().tolist() == labels.tolist()
    assert part.class_counts == np.bincount(labels, minlength=4).tolist()
    assert whole.class_counts == long_tail_counts(4, 50, 5).tolist()


def test_choice_is_uniform_within_a_class(source):
    times = np.zeros(len(source))
    for seed in range(200):
        times[_numbers(LongTailDataset(source, imbalance_factor=5, seed=seed))] += 1
    dogs = times[np.array(source.labels) == 3]
    assert dogs.sum() == 200 * 10
    # 200 draws with probability one half: a standard deviation of 7.1.
    assert abs(dogs - 100).max() < 5 * 7.1


def test_without_imbalance_factor_the_data_stay_as_they_are(source):
    dataset = LongTailDataset(source)
    assert _numbers(dataset) == list(range(140))
    assert dataset.class_counts == [50, 40, 30, 20]


def test_source_is_left_untouched(source):
    LongTailDataset(source, imbalance_factor=5)
    assert len(source) == 140


def test_unreadable_image_is_replaced_from_the_subset(labelled):
    dogs_are_unreadable = dict(pipeline=[lambda info: info if info['gt_label'] == 0 else None])
    source = labelled([0] * 300 + [1] * 300, **dogs_are_unreadable)
    dataset = LongTailDataset(source, imbalance_factor=100, max_per_class=100)
    subset = {dataset.get_data_info(i)['number'] for i in range(len(dataset))}
    assert {dataset[100]['number'] for _ in range(50)} <= subset


def test_metainfo_is_the_sources_and_loads_safely(source, tmp_path):
    dataset = LongTailDataset(source, imbalance_factor=5)
    assert dataset.metainfo == source.metainfo
    assert dataset.CLASSES == ('ant', 'bee', 'cat', 'dog')
    torch.save(dataset.metainfo, tmp_path / 'meta.pth')
    assert torch.load(tmp_path / 'meta.pth', weights_only=True) == source.metainfo


def test_folds_share_the_images_out(source):
    config = dict(type=lambda: LongTailDataset(source, imbalance_factor=5))
    parts = [
        KFoldDataset(config, fold=fold, num_splits=3, test_mode=True, seed=0) for fold in range(3)
    ]
    shared_out = sorted(number for part in parts for number in _numbers(part))
    assert shared_out == _numbers(LongTailDataset(source, imbalance_factor=5))
    left = KFoldDataset(config, fold=0, num_splits=3, seed=0)
    assert np.add(count_classes(left), count_classes(parts[0])).tolist() == count_classes(
        LongTailDataset(source, imbalance_factor=5)
    )


def test_built_from_a_config_and_read_late():
    config = dict(
        type='LongTailDataset',
        dataset=dict(type='Digits', lazy_init=True),
        imbalance_factor=10,
        max_per_class=100,
        lazy_init=True,
    )
    dataset = DATASETS.build(config)
    assert not dataset.dataset._fully_initialized
    dataset.full_init()
    assert dataset.class_counts == long_tail_counts(10, 100, 10).tolist()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            dict(imbalance_factor=2),
            r"class 'cat' \(2\) of Labelled has 30 images .* max_per_class=50 needs 31. "
            r'Set max_per_class to 41 or less',
        ),
        (
            dict(imbalance_factor=1),
            'needs 50. Set max_per_class to 20 or less',
        ),
        (dict(imbalance_factor=60), "leaves class 'dog'.*without images.*to 50 or less"),
        (dict(imbalance_factor=0), 'imbalance_factor: got 0'),
        (
            dict(imbalance_factor=2, max_per_class=0),
            'max_per_class: got 0',
        ),
        (dict(max_per_class=10), 'max_per_class=10 .* without imbalance_factor'),
        (dict(imbalance_factor=2, seed=-1), 'seed: got -1'),
        (dict(subset='cui'), "subset: got 'cui', expected 'random' or 'cao' or 'first'"),
        (
            dict(profile='linear'),
            "profile: got 'linear', expected 'exponential' or 'step' or 'pareto'",
        ),
        (dict(order='up'), "order: got 'up', expected 'forward' or 'backward'"),
    ],
)
def test_settings_that_cannot_be_met(source, settings, message):
    with pytest.raises(UserError, match=message):
        LongTailDataset(source, **settings)


def test_remedy_works(source):
    LongTailDataset(source, imbalance_factor=2, max_per_class=41)
    with pytest.raises(UserError):
        LongTailDataset(source, imbalance_factor=2, max_per_class=42)


def test_no_max_per_class_helps_when_classes_are_in_the_wrong_order(labelled):
    dataset = labelled([0] + [1] * 100)
    with pytest.raises(UserError, match='Raise imbalance_factor'):
        LongTailDataset(dataset, imbalance_factor=2)

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ecl.datasets import Digits, count_classes
from ecl.errors import UserError


def _pixels(dataset):
    return [dataset[i]['img'].tobytes() for i in range(len(dataset))]


@pytest.mark.parametrize('test_per_class', [1, 50, 173])
def test_test_split_is_balanced_and_train_holds_the_rest(test_per_class):
    train, test = (Digits(split, test_per_class) for split in ('train', 'test'))
    assert count_classes(test) == [test_per_class] * 10
    all_counts = np.bincount(load_digits().target)
    assert np.add(count_classes(train), count_classes(test)).tolist() == all_counts.tolist()


def test_splits_share_no_image():
    assert not set(_pixels(Digits('train'))) & set(_pixels(Digits('test')))


def test_splits_are_the_same_every_time():
    assert _pixels(Digits('test')) == _pixels(Digits('test'))


def test_images_are_those_of_scikit_learn():
    item = Digits('train')[0]
    assert item['img'].dtype == np.uint8
    assert item['img'].shape == (8, 8, 3)
    assert (item['img'] == item['img'][..., :1]).all()
    known = load_digits().images[load_digits().target == item['gt_label']]
    restored = item['img'][..., 0] / 255 * 16
    assert np.abs(known - restored).max(axis=(1, 2)).min() < 0.04
    train = Digits('train')
    assert max(train[i]['img'].max() for i in range(20)) == 255


def test_pipeline_runs():
    digits = Digits('test', pipeline=[dict(type='PackInputs')])
    assert digits[3]['inputs'].shape == (3, 8, 8)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(split='val'), "split: got 'val', expected 'train' or 'test'"),
        (dict(test_per_class=0), 'test_per_class: got 0, expected .* at least 1 and at most 173'),
        (dict(test_per_class=174), 'test_per_class: got 174'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(UserError, match=message):
        Digits(**settings)

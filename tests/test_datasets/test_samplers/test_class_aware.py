from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import RepeatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ecl.datasets import ClassAwareSampler
from ecl.datasets.samplers import epoch_sampler
from ecl.errors import UserError

COUNTS = [40, 12, 3, 1]
LABELS = np.repeat(range(4), COUNTS)
IMAGES = [np.flatnonzero(label == LABELS) for label in range(4)]


@pytest.fixture
def dataset(labelled):
    return labelled(LABELS.tolist())


def _epochs(sampler, number):
    for epoch in range(number):
        sampler.set_epoch(epoch)
        yield list(sampler)


@pytest.mark.parametrize('num_samples', [None, 1, 4, 55, 57, 400])
def test_classes_and_their_images_are_drawn_equally_often(dataset, num_samples):
    sampler = ClassAwareSampler(dataset, seed=0, num_samples=num_samples)
    for drawn in _epochs(sampler, 3):
        assert len(drawn) == len(sampler) == (num_samples or 56)
        per_class = np.bincount(LABELS[drawn], minlength=4)
        assert np.ptp(per_class) <= 1
        per_image = np.bincount(drawn, minlength=56)
        assert all(np.ptp(per_image[members]) <= 1 for members in IMAGES)


def test_every_round_shows_every_class(dataset):
    drawn = LABELS[list(ClassAwareSampler(dataset, seed=0))].reshape(-1, 4)
    assert (np.sort(drawn, axis=1) == range(4)).all()
    assert len({tuple(row) for row in drawn}) > 5


def test_no_image_is_favoured_over_the_epochs(dataset):
    sampler = ClassAwareSampler(dataset, seed=0)
    drawn = np.concatenate(list(_epochs(sampler, 200)))
    times = np.bincount(drawn)[LABELS == 0]
    # Each epoch takes 14 of the 40 images: 70 draws expected, standard deviation 6.7.
    assert abs(times - 70).max() < 5 * 6.7


def test_order_depends_on_seed_and_epoch_alone(dataset):
    first = list(_epochs(ClassAwareSampler(dataset, seed=3), 3))
    assert first == list(_epochs(ClassAwareSampler(dataset, seed=3), 3))
    assert first[0] != first[1] != first[2]
    # Neighbouring seeds must not share epochs, as they would if seed and epoch were added.
    assert first[1] != next(_epochs(ClassAwareSampler(dataset, seed=4), 1))


@pytest.mark.parametrize('world_size', [2, 3])
def test_processes_share_one_order(dataset, monkeypatch, world_size):
    ranks = []
    for rank in range(world_size):
        monkeypatch.setattr(epoch_sampler, 'get_dist_info', lambda rank=rank: (rank, world_size))
        ranks.append(ClassAwareSampler(dataset, seed=5, num_samples=52))
    total = -(-52 // world_size) * world_size
    monkeypatch.setattr(epoch_sampler, 'get_dist_info', lambda: (0, 1))
    alone = ClassAwareSampler(dataset, seed=5, num_samples=total)
    for epoch in range(2):
        for sampler in (*ranks, alone):
            sampler.set_epoch(epoch)
        assert {len(sampler) for sampler in ranks} == {total // world_size}
        interleaved = np.stack([list(sampler) for sampler in ranks], axis=1).ravel()
        assert interleaved.tolist() == list(alone)
        assert np.ptp(np.bincount(LABELS[interleaved])) <= 1


def test_without_a_seed_the_processes_agree_on_one(dataset, monkeypatch):
    monkeypatch.setattr(epoch_sampler, 'sync_random_seed', lambda: 11)
    assert list(ClassAwareSampler(dataset)) == list(ClassAwareSampler(dataset, seed=11))


def test_wrapped_dataset_and_missing_classes(labelled):
    dataset = RepeatDataset(labelled([0, 5, 5, 5]), times=2)
    drawn = list(ClassAwareSampler(dataset, seed=0))
    assert Counter(index % 4 == 0 for index in drawn) == {True: 4, False: 4}
    assert max(drawn) < 8


def test_built_by_the_runner():
    config = dict(
        dataset=dict(type='Digits', pipeline=[dict(type='PackInputs')]),
        sampler=dict(type='ClassAwareSampler', num_samples=20),
        batch_size=10,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
    )
    init_default_scope('ecl')
    loader = Runner.build_dataloader(config, seed=7)
    assert loader.sampler.seed == 7
    labels = [int(sample.gt_label) for batch in loader for sample in batch['data_samples']]
    assert np.bincount(labels).tolist() == [2] * 10


@pytest.mark.parametrize(
    ('exponent', 'shares'),
    [(1, [40, 12, 3, 1]), (0.5, [40**0.5, 12**0.5, 3**0.5, 1]), (0, [1, 1, 1, 1])],
)
@pytest.mark.parametrize('num_samples', [30, 56])
def test_exponent_sets_the_shares_of_the_classes(dataset, exponent, shares, num_samples):
    sampler = ClassAwareSampler(dataset, seed=1, num_samples=num_samples, exponent=exponent)
    expected = num_samples * np.array(shares) / sum(shares)
    drawn = np.array([np.bincount(LABELS[e], minlength=4) for e in _epochs(sampler, 400)])
    # Each epoch has the expected number, rounded; so its variance is 1/4 at most.
    assert (abs(drawn - expected) < 1).all()
    assert abs(drawn.mean(axis=0) - expected).max() < 5 * 0.5 / 400**0.5
    assert sampler.rebalances == (exponent < 1)


def test_exponent_one_shows_every_image_once(dataset):
    sampler = ClassAwareSampler(dataset, seed=0, exponent=1)
    assert all(sorted(drawn) == list(range(56)) for drawn in _epochs(sampler, 50))


def test_bad_settings(dataset, labelled):
    for exponent in (-0.1, 1.1):
        with pytest.raises(
            UserError, match='exponent must be a number of at least 0 and at most 1'
        ):
            ClassAwareSampler(dataset, exponent=exponent)
    with pytest.raises(UserError, match='num_samples must be a whole number of at least 1, not 0'):
        ClassAwareSampler(dataset, num_samples=0)
    with pytest.raises(UserError, match='has no images'):
        ClassAwareSampler(labelled([]))

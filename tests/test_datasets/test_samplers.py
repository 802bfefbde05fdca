from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import RepeatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ecl.datasets import (
    ClassAwareSampler,
    ProgressivelyBalancedSampler,
    RepeatFactorSampler,
    samplers,
)
from ecl.datasets.samplers import cycle, members_by_class, spread, stochastic_round
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
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
        ranks.append(ClassAwareSampler(dataset, seed=5, num_samples=52))
    total = -(-52 // world_size) * world_size
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (0, 1))
    alone = ClassAwareSampler(dataset, seed=5, num_samples=total)
    for epoch in range(2):
        for sampler in (*ranks, alone):
            sampler.set_epoch(epoch)
        assert {len(sampler) for sampler in ranks} == {total // world_size}
        interleaved = np.stack([list(sampler) for sampler in ranks], axis=1).ravel()
        assert interleaved.tolist() == list(alone)
        assert np.ptp(np.bincount(LABELS[interleaved])) <= 1


def test_without_a_seed_the_processes_agree_on_one(dataset, monkeypatch):
    monkeypatch.setattr(samplers, 'sync_random_seed', lambda: 11)
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


def test_bad_settings_of_class_aware(dataset, labelled):
    for exponent in (-0.1, 1.1):
        with pytest.raises(UserError, match='exponent: got'):
            ClassAwareSampler(dataset, exponent=exponent)
    with pytest.raises(UserError, match='num_samples: got 0'):
        ClassAwareSampler(dataset, num_samples=0)
    with pytest.raises(UserError, match='has no images'):
        ClassAwareSampler(labelled([]))


PROGRESSIVE = np.repeat(range(3), [60, 25, 5])


@pytest.mark.parametrize(
    ('epoch', 'expected'), [(0, [60, 25, 5]), (5, [45, 27.5, 17.5]), (10, [30] * 3), (99, [30] * 3)]
)
def test_shares_move_from_the_data_to_balance(labelled, epoch, expected):
    drawn = []
    for seed in range(200):
        sampler = ProgressivelyBalancedSampler(
            labelled(PROGRESSIVE.tolist()), max_epochs=10, seed=seed
        )
        sampler.set_epoch(epoch)
        drawn.append(np.bincount(PROGRESSIVE[list(sampler)], minlength=3))
    assert (abs(np.array(drawn) - expected) < 1).all()
    assert abs(np.mean(drawn, axis=0) - expected).max() < 5 * 0.5 / 200**0.5


def test_bad_settings_of_progressively_balanced(labelled):
    with pytest.raises(UserError, match='max_epochs: got 0'):
        ProgressivelyBalancedSampler(labelled([0]), max_epochs=0)


COUNTS = np.array([70, 20, 8, 2])
REPEATED = np.repeat(range(4), COUNTS)
FACTORS = np.maximum(1, np.sqrt(0.3 / (COUNTS / 100)))


@pytest.fixture
def repeated(labelled):
    return labelled(REPEATED.tolist())


def test_images_repeat_by_the_factor_of_their_class(repeated):
    sampler = RepeatFactorSampler(repeated, threshold=0.3, seed=0)
    assert len(sampler) == np.ceil(FACTORS @ COUNTS)
    times = np.array([np.bincount(drawn, minlength=100) for drawn in _epochs(sampler, 600)])
    expected = FACTORS[REPEATED] * len(sampler) / (FACTORS @ COUNTS)
    assert (abs(times - expected) < 1).all()
    assert times.min() == 1
    assert abs(times.mean(axis=0) - expected).max() < 5 * 0.5 / 600**0.5
    # Images of a class are rounded on their own, not together.
    for label in (1, 2):
        same = times[:, label == REPEATED]
        pairs = np.triu_indices(COUNTS[label], 1)
        assert abs(np.corrcoef(same.T)[pairs]).max() < 0.3
    # The copies of an image are spread over the epoch.
    assert np.mean([np.diff(drawn) == 0 for drawn in _epochs(sampler, 20)]) < 0.03


def test_an_unreachable_threshold_shows_every_image_once(repeated):
    sampler = RepeatFactorSampler(repeated, threshold=0.02, seed=0)
    assert not sampler.rebalances
    assert all(sorted(drawn) == list(range(100)) for drawn in _epochs(sampler, 20))


def test_processes_share_one_order_of_repeats_that_depends_on_seed_and_epoch(repeated, monkeypatch):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 3))
        parts.append(RepeatFactorSampler(repeated, threshold=0.3, seed=4))
    epochs = [np.concatenate(drawn) for drawn in zip(*(_epochs(p, 3) for p in parts), strict=True)]
    assert len({len(part) for part in parts}) == 1
    assert all(np.bincount(drawn, minlength=100).min() == 1 for drawn in epochs)
    again = list(_epochs(parts[0], 3))
    assert np.array_equal(again[0], epochs[0][: len(parts[0])])
    assert not np.array_equal(again[0], again[1])


@pytest.mark.parametrize('threshold', [0, 1.1])
def test_bad_settings_of_repeat_factor(repeated, labelled, threshold):
    with pytest.raises(UserError, match='threshold: got'):
        RepeatFactorSampler(repeated, threshold=threshold)
    with pytest.raises(UserError, match='has no images'):
        RepeatFactorSampler(labelled([]), threshold=0.1)


@given(
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=20),
    st.integers(1, 500),
    st.integers(0, 1000),
)
def test_rounding_keeps_the_total_and_moves_nothing_by_a_whole(weights, total, seed):
    exact = total * np.array(weights) / sum(weights)
    numbers = stochastic_round(np.array(weights), total, np.random.default_rng(seed))
    assert numbers.sum() == total
    assert (abs(numbers - exact) < 1 + 1e-6).all()


@pytest.mark.parametrize('offset', [0.0, 0.5, 0.999])
@pytest.mark.parametrize('number', range(2, 30))
def test_whole_shares_stay_whole_at_every_offset(number, offset):
    rng = SimpleNamespace(random=lambda: offset)
    assert stochastic_round(np.full(number, 0.1), 2 * number, rng).tolist() == [2] * number


def test_rounding_keeps_the_mean():
    weights = np.array([0.3, 1.7, 2.0, 5.55, 0.45])
    rng = np.random.default_rng(0)
    mean = np.mean([stochastic_round(weights, 7, rng) for _ in range(4000)], axis=0)
    assert abs(mean - 0.7 * weights).max() < 5 * 0.5 / 4000**0.5


def test_spreading_puts_one_draw_into_each_part_of_the_epoch():
    draws = np.array([12, 4, 1, 0, 3])
    order = spread(draws, np.random.default_rng(3))
    assert np.bincount(order, minlength=5).tolist() == draws.tolist()
    assert len({tuple(spread(draws, np.random.default_rng(seed))) for seed in range(9)}) == 9
    for label, number in enumerate(draws):
        places = np.flatnonzero(order == label)
        # Parts overlap with those of other classes, so a draw may move a little.
        assert (
            abs(places - (np.arange(number) + 0.5) * 20 / max(number, 1)).max(initial=0)
            < 20 / (max(number, 1)) + 2
        )


def test_cycle_shows_all_before_any_again():
    members = np.array([5, 7, 9])
    drawn = cycle(members, 8, np.random.default_rng(0))
    assert [sorted(drawn[i : i + 3]) for i in (0, 3)] == [[5, 7, 9]] * 2
    assert len(set(drawn[6:])) == 2
    assert cycle(members, 0, np.random.default_rng(0)).tolist() == []


def test_members_of_classes_that_have_any():
    members = members_by_class(np.array([4, 0, 4, 2]))
    assert [indices.tolist() for indices in members] == [[1], [3], [0, 2]]


@pytest.mark.parametrize('base', [samplers.EpochSampler, samplers.ClassWeightedSampler])
def test_a_base_class_has_no_order(dataset, base):
    with pytest.raises(NotImplementedError):
        iter(base(dataset, seed=0))

import numpy as np
import pytest

from ecl.datasets import RepeatFactorSampler
from ecl.datasets.samplers import epoch_sampler
from ecl.errors import UserError

COUNTS = np.array([70, 20, 8, 2])
LABELS = np.repeat(range(4), COUNTS)
FACTORS = np.maximum(1, np.sqrt(0.3 / (COUNTS / 100)))


@pytest.fixture
def dataset(labelled):
    return labelled(LABELS.tolist())


def _epochs(sampler, number):
    for epoch in range(number):
        sampler.set_epoch(epoch)
        yield np.array(list(sampler))


def test_images_repeat_by_the_factor_of_their_class(dataset):
    sampler = RepeatFactorSampler(dataset, threshold=0.3, seed=0)
    assert len(sampler) == np.ceil(FACTORS @ COUNTS)
    times = np.array([np.bincount(drawn, minlength=100) for drawn in _epochs(sampler, 600)])
    expected = FACTORS[LABELS] * len(sampler) / (FACTORS @ COUNTS)
    assert (abs(times - expected) < 1).all()
    assert times.min() == 1
    assert abs(times.mean(axis=0) - expected).max() < 5 * 0.5 / 600**0.5
    # Images of a class are rounded on their own, not together.
    tail = times[:, LABELS == 2]
    assert abs(np.corrcoef(tail.T)[np.triu_indices(8, 1)]).max() < 0.3


def test_an_unreachable_threshold_shows_every_image_once(dataset):
    sampler = RepeatFactorSampler(dataset, threshold=0.02, seed=0)
    assert not sampler.rebalances
    assert all(sorted(drawn) == list(range(100)) for drawn in _epochs(sampler, 20))


def test_processes_share_one_order_that_depends_on_seed_and_epoch(dataset, monkeypatch):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(epoch_sampler, 'get_dist_info', lambda rank=rank: (rank, 3))
        parts.append(RepeatFactorSampler(dataset, threshold=0.3, seed=4))
    epochs = [np.concatenate(drawn) for drawn in zip(*(_epochs(p, 3) for p in parts), strict=True)]
    assert len({len(part) for part in parts}) == 1
    assert all(np.bincount(drawn, minlength=100).min() == 1 for drawn in epochs)
    again = list(_epochs(parts[0], 3))
    assert np.array_equal(again[0], epochs[0][: len(parts[0])])
    assert not np.array_equal(again[0], again[1])


@pytest.mark.parametrize('threshold', [0, 1.1])
def test_bad_settings(dataset, labelled, threshold):
    with pytest.raises(UserError, match='threshold must be a number above 0 and at most 1'):
        RepeatFactorSampler(dataset, threshold=threshold)
    with pytest.raises(UserError, match='has no images'):
        RepeatFactorSampler(labelled([]), threshold=0.1)

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ecl.datasets import BalancedBatchSampler
from ecl.errors import UserError

LABELS = np.repeat(range(5), [40, 12, 6, 3, 1])


@pytest.fixture
def sampler(labelled):
    return DefaultSampler(labelled(LABELS.tolist()), shuffle=True, seed=0)


def _epochs(batches, number):
    for epoch in range(number):
        batches.sampler.set_epoch(epoch)
        yield np.array(list(batches))


@pytest.mark.parametrize('per_class', [2, 3, 6])
def test_every_batch_has_the_same_number_of_each_of_its_classes(sampler, per_class):
    batches = BalancedBatchSampler(sampler, batch_size=6, images_per_class=per_class)
    shown = np.zeros(5)
    for drawn in _epochs(batches, 30):
        assert drawn.shape == (len(batches), 6) == (11, 6)
        counts = np.array([np.bincount(LABELS[batch], minlength=5) for batch in drawn])
        assert set(np.unique(counts)) <= {0, per_class}
        assert np.ptp(counts.sum(axis=0)) <= per_class
        shown += counts.sum(axis=0)
        # Before an image returns, all of its class have been shown.
        times = np.bincount(drawn.ravel(), minlength=len(LABELS))
        assert all(np.ptp(times[label == LABELS]) <= 1 for label in range(5))
    expected = 30 * 66 / 5
    assert abs(shown - expected).max() < 5 * per_class * 30**0.5


def test_order_depends_on_seed_and_epoch_alone(sampler, labelled):
    first = list(_epochs(BalancedBatchSampler(sampler, 6, 2), 3))
    again = list(_epochs(BalancedBatchSampler(sampler, 6, 2), 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    # Not the images of the classes alone: which classes meet is random too.
    assert not np.array_equal(LABELS[first[0]], LABELS[first[1]])
    other = DefaultSampler(labelled(LABELS.tolist()), shuffle=True, seed=1)
    assert not np.array_equal(first[0], next(_epochs(BalancedBatchSampler(other, 6, 2), 1)))


def test_processes_share_the_batches(labelled):
    parts = []
    for rank in range(2):
        sampler = DefaultSampler(labelled(LABELS.tolist()), seed=3)
        sampler.rank, sampler.world_size = rank, 2
        parts.append(BalancedBatchSampler(sampler, 6, 2))
    assert {len(part) for part in parts} == {6}
    drawn = np.concatenate([list(part) for part in parts])
    assert np.ptp(np.bincount(LABELS[drawn.ravel()])) <= 2


def test_built_by_the_runner():
    config = dict(
        dataset=dict(type='Digits', pipeline=[dict(type='PackInputs')]),
        sampler=dict(type='DefaultSampler', shuffle=True),
        batch_sampler=dict(type='BalancedBatchSampler', images_per_class=2),
        batch_size=20,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
    )
    init_default_scope('ecl')
    loader = Runner.build_dataloader(config, seed=7)
    batch = next(iter(loader))
    assert np.bincount([int(s.gt_label) for s in batch['data_samples']]).tolist() == [2] * 10
    assert len(loader) == len(list(loader.batch_sampler)) == 65


@pytest.mark.parametrize(
    ('batch_size', 'per_class', 'message'),
    [
        (6, 4, 'images_per_class: got 4, expected a divisor of batch_size, 6'),
        (6, 0, 'images_per_class: got 0'),
        (12, 2, 'needs 6 classes: got 5'),
    ],
)
def test_bad_settings(sampler, batch_size, per_class, message):
    with pytest.raises(UserError, match=message):
        BalancedBatchSampler(sampler, batch_size, per_class)

import numpy as np
import pytest

from ecl.datasets import ProgressivelyBalancedSampler
from ecl.errors import UserError

LABELS = np.repeat(range(3), [60, 25, 5])


@pytest.mark.parametrize(
    ('epoch', 'expected'), [(0, [60, 25, 5]), (5, [45, 27.5, 17.5]), (10, [30] * 3), (99, [30] * 3)]
)
def test_shares_move_from_the_data_to_balance(labelled, epoch, expected):
    drawn = []
    for seed in range(200):
        sampler = ProgressivelyBalancedSampler(labelled(LABELS.tolist()), max_epochs=10, seed=seed)
        sampler.set_epoch(epoch)
        drawn.append(np.bincount(LABELS[list(sampler)], minlength=3))
    assert (abs(np.array(drawn) - expected) < 1).all()
    assert abs(np.mean(drawn, axis=0) - expected).max() < 5 * 0.5 / 200**0.5


def test_bad_settings(labelled):
    with pytest.raises(UserError, match='max_epochs must be a whole number of at least 1, not 0'):
        ProgressivelyBalancedSampler(labelled([0]), max_epochs=0)

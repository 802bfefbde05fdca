import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from ecl.engine.resume.seeding import SeededBatches, seed_generators


class Draws(Dataset):
    """Every item is its index and what the three generators give."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), np.random.rand(), float(torch.rand(()))])


def batches_of(seed=0, rank=0, begin=(0, 0), num_workers=0):
    batches = SeededBatches(BatchSampler(SequentialSampler(range(10)), 2, False), seed, rank)
    batches.begin(*begin)
    return list(DataLoader(Draws(), batch_sampler=batches, num_workers=num_workers))


def test_equal_numbers_give_equal_draws_and_others_do_not():
    drawn = []
    for entropy in ((1, 2), (1, 2), (2, 1), (1, 2, 1)):
        seed_generators(*entropy)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    assert len({number for draw in drawn[1:] for number in draw}) == 9


@pytest.mark.parametrize('num_workers', [0, 2])
def test_skipping_leaves_the_rest_as_it_was(num_workers):
    whole, rest = batches_of(), batches_of(begin=(3, 3), num_workers=num_workers)
    assert len(rest) == 2
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[3:], strict=True))


def test_seed_process_and_iteration_decide():
    first = torch.cat(batches_of())
    for other in (batches_of(seed=1), batches_of(rank=1), batches_of(begin=(5, 0))):
        other = torch.cat(other)
        assert torch.equal(other[:, 0], first[:, 0])
        assert (other[:, 1:] != first[:, 1:]).all()


def test_is_what_it_wraps_otherwise():
    inner = BatchSampler(SequentialSampler(range(10)), 4, False)
    batches = pickle.loads(pickle.dumps(SeededBatches(inner, 0, 0)))
    assert (len(batches), batches.batch_size, batches.drop_last) == (3, 4, False)
    assert len(batches.sampler) == 10


def test_sending_a_batch_to_a_worker_seeds_nothing():
    (batch, *_) = SeededBatches(BatchSampler(SequentialSampler(range(4)), 2, False), 0, 0)
    random.seed(5)
    expected = random.random()
    random.seed(5)
    assert list(pickle.loads(pickle.dumps(batch)).indices) == [0, 1]
    assert random.random() == expected

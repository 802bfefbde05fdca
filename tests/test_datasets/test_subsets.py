import numpy as np
import pytest

from ecl.datasets.profiles import long_tail_counts
from ecl.datasets.subsets import SUBSETS

LABELS = np.random.default_rng(1).permutation(np.repeat(range(10), 500))
MEMBERS = [np.flatnonzero(label == LABELS) for label in range(10)]
WANTED = long_tail_counts(10, 500, 100)


def _as_published(targets, img_num_per_cls, seed):
    """What LDAM-DRW's dataset does, by way of NumPy's global generator."""
    np.random.seed(seed)
    selected = []
    for the_class, number in zip(np.unique(targets), img_num_per_cls, strict=True):
        idx = np.where(targets == the_class)[0]
        np.random.shuffle(idx)
        selected.extend(idx[:number])
    return selected


@pytest.mark.parametrize('seed', [0, 7])
def test_cao_is_the_published_shuffle(seed):
    chosen = np.concatenate(SUBSETS['cao'](MEMBERS, WANTED, seed))
    assert chosen.tolist() == _as_published(LABELS, WANTED, seed)


@pytest.mark.parametrize('rule', list(SUBSETS))
def test_every_rule_keeps_the_wanted_number_of_each_class(rule):
    before = [indices.copy() for indices in MEMBERS]
    chosen = SUBSETS[rule](MEMBERS, WANTED, 3)
    assert [len(indices) for indices in chosen] == WANTED.tolist()
    for indices, members in zip(chosen, before, strict=True):
        assert len(set(indices)) == len(indices)
        assert set(indices) <= set(members)
    assert all(np.array_equal(a, b) for a, b in zip(before, MEMBERS, strict=True))


def test_the_rules_choose_differently():
    tails = [tuple(sorted(choose(MEMBERS, WANTED, 0)[-1])) for choose in SUBSETS.values()]
    assert len(set(tails)) == 3

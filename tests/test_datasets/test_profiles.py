import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecl.datasets.profiles import PROFILES, SUBSETS, long_tail_counts
from ecl.errors import UserError


@pytest.mark.parametrize(
    ('num_classes', 'largest', 'factor', 'total'),
    [
        (100, 500, 100, 10847),
        (100, 500, 50, 12608),
        (100, 500, 10, 19573),
        (10, 5000, 100, 12406),
        (10, 5000, 50, 13996),
        (10, 5000, 10, 20431),
        # Those drawn from the balanced test sets of Places-LT and ImageNet-LT.
        (365, 100, 50, 8989),
        (1000, 50, 50, 12058),
    ],
)
def test_totals_of_the_published_cifar_profiles(num_classes, largest, factor, total):
    assert long_tail_counts(num_classes, largest, factor).sum() == total


@given(
    st.integers(2, 200), st.integers(1, 5000), st.integers(1, 500), st.sampled_from(list(PROFILES))
)
def test_profile_falls_from_the_largest_class_to_the_exact_smallest(
    classes, largest, factor, profile
):
    counts = long_tail_counts(classes, largest, factor, profile)
    assert len(counts) == classes
    assert counts[0] == largest
    assert counts[-1] == math.floor(Fraction(largest, factor))
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize('classes', [2, 9, 10])
def test_step_halves_the_classes(classes):
    counts = long_tail_counts(classes, 500, 100, 'step').tolist()
    assert counts == [500] * (classes // 2) + [5] * (classes - classes // 2)


def test_pareto_has_a_shorter_head_and_a_longer_tail():
    pareto, exponential = (long_tail_counts(365, 4980, 996, p) for p in ('pareto', 'exponential'))
    assert (pareto[1:-1] < exponential[1:-1]).mean() > 0.95
    head, tail = np.log(pareto[:180]), np.log(pareto[180:])
    assert np.ptp(head) > 1.5 * np.ptp(tail)


def test_profile_of_one_class():
    assert long_tail_counts(1, 7, 10).tolist() == [7]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((0, 10, 2), 'num_classes: got 0'),
        ((3, 0, 2), 'max_per_class: got 0'),
        ((3, 10, 0.5), 'imbalance_factor: got 0.5'),
        ((3, 10, float('nan')), 'imbalance_factor: got nan'),
        ((3, 10, 2, 'linear'), "profile: got 'linear', expected 'exponential'"),
    ],
)
def test_profile_settings_out_of_range(arguments, message):
    with pytest.raises(UserError, match=message):
        long_tail_counts(*arguments)


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


def test_the_random_rule_chooses_what_it_always_chose():
    # Other images would be another data set than that of the results.
    chosen = SUBSETS['random']([np.arange(10)] * 2, [4, 4], 1)
    assert [indices.tolist() for indices in chosen] == [[8, 4, 7, 0], [7, 2, 4, 6]]


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

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecl.datasets.profiles import PROFILES, long_tail_counts
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
        ((0, 10, 2), 'at least one class'),
        ((3, 0, 2), 'max_per_class must be at least 1'),
        ((3, 10, 0.5), 'imbalance_factor must be at least 1'),
        ((3, 10, float('nan')), 'imbalance_factor must be at least 1'),
        ((3, 10, 2, 'linear'), "profile must be one of exponential, step, pareto, not 'linear'"),
    ],
)
def test_profile_settings_out_of_range(arguments, message):
    with pytest.raises(UserError, match=message):
        long_tail_counts(*arguments)

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecl.datasets.samplers.draws import cycle, members_by_class, spread, stochastic_round


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

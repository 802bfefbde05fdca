import pytest

from ecl.apis.benchmark.readings import Reading, median_rate, of_all_processes


def test_rates_of_processes_add_up():
    fast, slow = [Reading(0.5, 0.4)] * 3, [Reading(2.0, 0.4)] * 3
    both = of_all_processes([fast, slow])
    apart = median_rate(fast, 10, 'wall') + median_rate(slow, 10, 'wall')
    assert len(both) == 3
    assert median_rate(both, 2 * 10, 'wall') == pytest.approx(apart)
    assert median_rate(both, 2 * 10, 'cpu') == pytest.approx(2 * 25)


def test_one_process_is_itself():
    readings = [Reading(0.5, 0.25), Reading(1.0, 0.75)]
    assert of_all_processes([readings]) == readings

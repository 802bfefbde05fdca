from pathlib import Path

import pytest

from ecl.apis.benchmark.losses import benchmark_losses

CONFIG = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'


def test_losses_are_a_part_of_the_step_at_every_batch():
    result = benchmark_losses(CONFIG, batches=(4, 32), size=32, repeats=2)
    assert result['classes'] == 10
    assert list(result['batches']) == [4, 32]
    for times in result['batches'].values():
        assert 0 < times['losses'] < times['step']
        assert 0 < times['classifiers'] < times['step']
        assert times['share'] == pytest.approx(times['losses'] / times['step'])

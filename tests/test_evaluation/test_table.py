import numpy as np
import pandas as pd
import pytest

from ecl.evaluation import (
    accuracy_interval,
    further_line,
    interval_line,
    markdown_table,
    metric_table,
)


def test_rows_and_columns():
    metrics = {
        'shot/overall': 41.234,
        'shot/many': 60.0,
        'shot/balanced': 40.234,
        'shot/expert0/overall': 38.0,
        'shot/expert0/balanced': 38.0,
        'shot/expert10/overall': 7.5,
        'accuracy/top1': 41.234,
    }
    table = metric_table(metrics)
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.splitlines()]
    assert rows[0] == ['accuracy (%)', 'overall', 'many', 'balanced']
    assert rows[2:] == [
        ['ensemble', '41.23', '60.00', '40.23'],
        ['expert 0', '38.00', '-', '38.00'],
        ['expert 10', '7.50', '-', '-'],
    ]


def test_fits_a_terminal_in_plain_ascii():
    names = ['overall', 'many', 'medium', 'few', 'balanced']
    metrics = {f'shot/{name}': 100.0 for name in names}
    metrics |= {f'shot/expert{k}/{name}': 90.0 + len(name) for k in range(12) for name in names}
    lines = metric_table(metrics).splitlines()
    assert len(lines) == 2 + 13
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) < 80
    assert metric_table(metrics).isascii()


def test_column_order_does_not_follow_the_dict():
    header = metric_table({'shot/few': 1.0, 'shot/many': 2.0, 'shot/overall': 3.0}).splitlines()[0]
    assert header.index('overall') < header.index('many') < header.index('few')


def test_single_model_is_no_ensemble():
    assert 'model' in metric_table({'shot/overall': 1.0})
    assert 'ensemble' not in metric_table({'shot/overall': 1.0})


def test_a_single_expert_and_balanced_data_repeat_nothing():
    metrics = {'overall': 50.0, 'balanced': 50.0, 'few': 3.0}
    table = metric_table(
        {f'shot/{part}{key}': v for part in ('', 'expert0/') for key, v in metrics.items()}
    )
    assert table.count('50.00') == 1
    assert 'model' in table and 'expert' not in table and 'balanced' not in table


def test_prefix_selects_one_metric():
    metrics = {'shot/overall': 1.0, 'other/overall': 2.0}
    assert '2.00' in metric_table(metrics, prefix='other')
    assert '1.00' not in metric_table(metrics, prefix='other')


@pytest.mark.parametrize('metrics', [{}, {'accuracy/top1': 1.0, 'shot/overall/extra': 2.0}])
def test_nothing_to_show_is_empty(metrics):
    assert metric_table(metrics) == ''


def test_metrics_of_other_classes_are_listed():
    metrics = {
        'shot/overall': 50.0,
        'shot/expert0/overall': 40.0,
        'calibration/ECE': 3.0,
        'balance/1/overall': 51.0,
    }
    assert further_line(metrics) == ''
    metrics |= {'worst/class': 12.5, 'mine': np.float32(0.25), 'worst/all': [1.0, 2.0]}
    assert further_line(metrics) == 'further metrics: worst/class 12.5, mine 0.25'


@pytest.mark.parametrize('right', range(101))
def test_the_interval_is_that_of_wilson(right):
    z, share = 1.959964, right / 100
    middle = (share + z**2 / 200) / (1 + z**2 / 100)
    half = z * np.sqrt(share * (1 - share) / 100 + z**2 / 40_000) / (1 + z**2 / 100)
    found = accuracy_interval({'shot/overall': 100 * share}, 100)
    assert found == pytest.approx((100 * (middle - half), 100 * (middle + half)), abs=1e-4)


@pytest.mark.parametrize(('metrics', 'images'), [({}, 10), ({'shot/overall': 50.0}, 0)])
def test_without_an_accuracy_or_images_there_is_no_interval(metrics, images):
    assert accuracy_interval(metrics, images) is None
    assert interval_line(metrics, images) == ''


def test_a_bar_in_a_name_does_not_end_its_cell():
    table = markdown_table(pd.DataFrame({'class': ['a|b'], 'accuracy': [1.0]}))
    assert table.splitlines()[-1].replace(' ', '') == r'|a\|b|1.00|'

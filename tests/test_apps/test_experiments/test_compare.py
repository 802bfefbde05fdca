import json
import shutil
from importlib import import_module

import numpy as np
import pytest
from scipy.stats import chi2

from ecl.apps.experiments.compare import between_networks, between_seeds, compare
from ecl.errors import UserError
from ecl.evaluation import Predictions

METRICS = {'shot/overall': 60.0, 'shot/few': 30.0}


def _write(folder, seed, shift=0.0, **more):
    folder.mkdir(parents=True)
    metrics = {key: value + shift for key, value in METRICS.items()}
    record = {'seed': seed, 'metrics': metrics, 'protocol': {'source': 'X'}, **more}
    (folder / 'results.json').write_text(json.dumps(record))
    return record


@pytest.fixture
def two_methods(tmp_path):
    for seed in range(3):
        _write(tmp_path / 'one' / f'seed{seed}', seed, 0.5 * seed)
        _write(tmp_path / 'two' / f'seed{seed}', seed, 5 + 0.5 * seed)
    return tmp_path / 'one', tmp_path / 'two'


def test_folders_of_seeds(two_methods, tmp_path, capsys):
    differences = compare(two_methods, tmp_path / 'out')
    assert differences['two']['overall'].value == pytest.approx(5)
    assert differences['two']['few'].p < 0.01
    printed = capsys.readouterr().out
    assert '60.50 ± 0.50' in printed
    assert (tmp_path / 'out.md').read_text() == printed
    content = json.loads((tmp_path / 'out.json').read_text())
    assert content['methods'][1]['values']['overall'] == [65, 65.5, 66]
    assert content['differences']['two']['few']['interval'][0] > 0


def test_the_rows_of_a_matrix(two_methods, tmp_path):
    runs = [_write(tmp_path / f'x{seed}', seed, seed) for seed in range(2)]
    rows = [{'name': 'x', 'runs': runs}, {'name': 'x: variant'}, {'name': 'y', 'runs': runs}]
    (tmp_path / 'table.json').write_text(json.dumps({'title': '', 'rows': rows}))
    differences = compare([two_methods[0], tmp_path / 'table.json'])
    assert list(differences) == ['x', 'y']


def test_other_protocols_are_told(tmp_path, capsys):
    _write(tmp_path / 'a', 0)
    _write(tmp_path / 'b', 0, protocol={'source': 'Y'})
    differences = compare([tmp_path / 'a', tmp_path / 'b'])
    assert differences['b']['overall'].p is None
    assert 'NOT THE SAME PROTOCOL' in capsys.readouterr().out


def test_an_evaluation_has_neither_images_nor_protocol(digits_run, tmp_path, monkeypatch, capsys):
    module = import_module('ecl.apps.experiments.compare')
    monkeypatch.setattr(module, 'collect_predictions', pytest.fail)
    (tmp_path / 'm.json').write_text(json.dumps({'config': 'a.py', 'metrics': METRICS}))
    (differences,) = compare([digits_run, tmp_path / 'm.json']).values()
    assert differences['overall'].p is None
    printed = capsys.readouterr().out
    assert 'McNemar' not in printed
    assert 'PROTOCOL' not in printed


def test_single_trainings_are_compared_image_by_image(digits_run, tmp_path, capsys):
    shutil.copy(digits_run / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    record = json.loads((digits_run / 'results.json').read_text())
    record['metrics'] = {key: value - 5 for key, value in record['metrics'].items()}
    (tmp_path / 'results.json').write_text(json.dumps(record))
    (differences,) = compare([digits_run, tmp_path]).values()
    assert differences['overall'].value == pytest.approx(-5)
    assert 0 <= differences['overall'].p <= 1
    assert differences['balanced'].p is None
    assert 'McNemar' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['one'], 'name at least two'),
        (['one', 'gone'], 'gone does not exist'),
        (['one', 'empty'], 'empty holds no results.json'),
        (['one', 'bad.json'], 'bad.json cannot be read'),
        (['one', 'list.json'], 'list.json holds no metrics'),
    ],
)
def test_mistakes(two_methods, tmp_path, names, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.json').write_text('{')
    (tmp_path / 'list.json').write_text('[]')
    with pytest.raises(UserError, match=message):
        compare([tmp_path / name for name in names])


def test_seeds_by_the_formula_of_welch():
    first, second = [60.0, 61.0, 62.0], [63.0, 65.0, 64.0, 66.0]
    difference = between_seeds(first, second)
    assert difference.value == pytest.approx(3.5)
    # Standard error of the difference of the means, and a t-quantile from a table (4.98 degrees).
    error = np.sqrt(np.var(first, ddof=1) / 3 + np.var(second, ddof=1) / 4)
    low, high = difference.interval
    assert (low + high) / 2 == pytest.approx(3.5)
    assert (high - low) / 2 == pytest.approx(2.57 * error, rel=0.01)
    assert 0.005 < difference.p < 0.02


@pytest.mark.parametrize(
    ('first', 'second'), [([60.0], [61.0, 62.0]), ([60.0, 60.0], [61.0, 61.0])]
)
def test_without_a_spread_nothing_is_said(first, second):
    difference = between_seeds(first, second)
    assert (difference.p, difference.interval) == (None, None)
    assert difference.value > 0


def test_chance_alone_is_significant_one_time_in_twenty():
    rng = np.random.default_rng(0)
    values = rng.normal(60, 1, (600, 2, 5))
    found = np.mean([between_seeds(one, two).p < 0.05 for one, two in values])
    assert found == pytest.approx(0.05, abs=0.025)


def _predictions(right):
    labels = np.zeros(len(right), dtype=np.int64)
    predicted = np.where(right, 0, 1)[None]
    return Predictions([''] * len(right), labels, predicted, np.ones(predicted.shape))


def test_networks_by_the_images_that_only_one_has_right():
    first, second = np.zeros((2, 1000), dtype=bool)
    first[:340], second[40:400] = True, True  # 40 that only the first has right, 60 the second
    difference = between_networks(2.0, *map(_predictions, (first, second)), np.ones(1000, bool))
    # The usual approximation, with correction for continuity.
    assert difference.p == pytest.approx(chi2.sf((60 - 40 - 1) ** 2 / 100, 1), rel=0.02)
    half = np.arange(1000) < 340
    assert between_networks(0, *map(_predictions, (first, second)), half).p < 1e-6


def test_equal_networks_do_not_differ():
    right = np.array([True, False, True])
    same = between_networks(0.0, _predictions(right), _predictions(right), np.ones(3, bool))
    assert same.p == 1

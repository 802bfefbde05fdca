import json
import shutil
from importlib import import_module

import numpy as np
import pytest
from matplotlib.figure import Figure

from ecl.apis import test as evaluate
from ecl.apps.experiments.compare import compare, read_methods
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
    assert not (tmp_path / 'out.png').exists()  # there are no checkpoints
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


def test_a_later_seed_and_the_number_of_epochs_count_too(tmp_path, capsys):
    for seed, protocol in enumerate([{'source': 'X'}, {'source': 'Y'}]):
        _write(tmp_path / 'a' / f'seed{seed}', 0, protocol=protocol, epochs=40)
        _write(tmp_path / 'b' / f'seed{seed}', 0, protocol={'source': 'X'}, epochs=100)
    compare([tmp_path / 'a', tmp_path / 'b'])
    printed = capsys.readouterr().out
    assert 'NOT THE SAME PROTOCOL:\n{"source": "X"}\n{"source": "Y"}' in printed
    assert 'NOT THE SAME NUMBER OF EPOCHS:\n40\n100' in printed


def test_an_evaluation_has_neither_images_nor_protocol(digits_run, tmp_path, monkeypatch, capsys):
    module = import_module('ecl.apps.experiments.compare')
    monkeypatch.setattr(module, 'collect_predictions', pytest.fail)
    (tmp_path / 'm.json').write_text(json.dumps({'config': 'a.py', 'metrics': METRICS}))
    (differences,) = compare([digits_run, tmp_path / 'm.json']).values()
    assert differences['overall'].p is None
    printed = capsys.readouterr().out
    assert 'McNemar' not in printed
    assert 'PROTOCOL' not in printed


def test_single_trainings_are_compared_image_by_image(digits_run, digits_config, tmp_path, capsys):
    shutil.copy(digits_run / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    record = json.loads((digits_run / 'results.json').read_text())
    record['metrics'] = {key: value - 5 for key, value in record['metrics'].items()}
    (tmp_path / 'results.json').write_text(json.dumps(record))
    (differences,) = compare([digits_run, tmp_path], tmp_path / 'out').values()
    assert (tmp_path / 'out.png').is_file()
    one, two = (
        evaluate(digits_config, folder / f'epoch_{epoch}.pth', work_dir=tmp_path / 'test')
        for folder, epoch in ((digits_run, 3), (tmp_path, 1))
    )
    for column in ('overall', 'many', 'medium', 'few'):  # of the test images, not of the records
        expected = two[f'shot/{column}'] - one[f'shot/{column}']
        assert differences[column].value == pytest.approx(expected)
    assert 0 <= differences['overall'].p <= 1
    assert differences['balanced'].p is None
    assert 'McNemar' in capsys.readouterr().out


def test_a_metric_that_a_seed_lacks_is_not_compared(two_methods, capsys):
    record = json.loads((two_methods[1] / 'seed1/results.json').read_text())
    del record['metrics']['shot/few']
    (two_methods[1] / 'seed1/results.json').write_text(json.dumps(record))
    (differences,) = compare(two_methods).values()
    assert list(differences) == ['overall']


def test_methods_of_one_name_are_numbered(two_methods, tmp_path):
    _write(tmp_path / 'other' / 'two', 0)
    methods = read_methods([*two_methods, tmp_path / 'other' / 'two'])
    assert [method.name for method in methods] == ['one', 'two (2)', 'two (3)']


def test_several_seeds_are_compared_by_their_records(two_methods, monkeypatch):
    module = import_module('ecl.apps.experiments.compare')
    monkeypatch.setattr(module, 'final_checkpoint', lambda folder: str(folder / 'epoch_1.pth'))
    monkeypatch.setattr(module, 'collect_predictions', pytest.fail)
    (differences,) = compare(two_methods).values()
    assert differences['overall'].interval is not None


def _two_networks(monkeypatch, tmp_path, labels, predicted, **more):
    """Compare two networks with these predictions for test images of three classes."""
    module = import_module('ecl.apps.experiments.compare')
    for name in ('a', 'b'):
        _write(tmp_path / name, 0, class_counts=[60, 30, 8], **more)
    found = {
        name: Predictions(['x'] * 6, np.array(own), np.array([row]), np.ones((1, 6)))
        for name, own, row in zip('ab', labels, predicted, strict=True)
    }
    monkeypatch.setattr(module, 'final_checkpoint', lambda folder: folder.name)
    monkeypatch.setattr(module, 'collect_predictions', found.get)
    return compare([tmp_path / 'a', tmp_path / 'b'])


def test_groups_are_those_of_the_thresholds_of_the_training(monkeypatch, tmp_path):
    labels = [[0, 0, 1, 1, 2, 2]] * 2
    predicted = [[0, 1, 0, 0, 2, 2], [0, 0, 1, 1, 0, 0]]
    thresholds = {'protocol': {'shot_thresholds': [40, 50]}}
    (found,) = _two_networks(monkeypatch, tmp_path, labels, predicted, **thresholds).values()
    # Of the few-shot classes, with 30 and 8 images, one has gained what the other has lost.
    assert {key: difference.value for key, difference in found.items()} == pytest.approx(
        {'few': 0, 'overall': 100 / 6}
    )


def test_networks_that_were_tested_on_other_images_are_not_compared(monkeypatch, tmp_path):
    labels = [[0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 1, 2]]
    with pytest.raises(UserError, match='a was tested on other images'):
        _two_networks(monkeypatch, tmp_path, labels, [[0] * 6] * 2)


def test_the_figure_shows_the_change_of_the_means_over_the_seeds(monkeypatch, tmp_path):
    module = import_module('ecl.apps.experiments.compare')
    labels = np.array([0, 0, 1, 1, 2, 2])
    rows = {
        'a0': [0, 0, 0, 0, 2, 0],
        'a1': [0, 1, 0, 0, 2, 0],
        'b0': [1, 1, 1, 1, 2, 2],
        'b1': [1, 1, 1, 0, 2, 2],
    }
    for name in rows:
        _write(tmp_path / name[0] / name, 0, class_counts=[60, 30, 8])

    def collect(name):
        return Predictions(['x'] * 6, labels, np.array([rows[name]]), np.ones((1, 6)))

    drawn = []
    monkeypatch.setattr(module, 'final_checkpoint', lambda folder: folder.name)
    monkeypatch.setattr(module, 'collect_predictions', collect)
    monkeypatch.setattr(module, 'load_checkpoint', lambda name: {'meta': {}})
    monkeypatch.setattr(module, 'accuracy_change', lambda *args: drawn.append(args) or Figure())
    compare([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out')
    ((before, after, counts, names, *_),) = drawn
    np.testing.assert_allclose(before, [75, 0, 50])
    np.testing.assert_allclose(after, [0, 75, 100])
    assert (counts, names) == ([60, 30, 8], ('a', 'b'))


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['one'], 'name at least two'),
        (['one', 'gone'], 'gone does not exist'),
        (['one', 'empty'], 'empty and .* no results.json'),
        (['one', 'bad.json'], 'bad.json cannot be read'),
        (['one', 'list.json'], 'list.json has no metrics'),
    ],
)
def test_mistakes(two_methods, tmp_path, names, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.json').write_text('{')
    (tmp_path / 'list.json').write_text('[]')
    with pytest.raises(UserError, match=message):
        compare([tmp_path / name for name in names])

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from ecl.apps.experiments import balance as module
from ecl.apps.experiments.balance import balance, balance_figure
from ecl.errors import UserError


@pytest.fixture
def seeds(digits_run, tmp_path) -> Path:
    """One training, taken for two seeds of a method."""
    for seed in (0, 1):
        copytree(digits_run, tmp_path / 'a method' / f'seed{seed}')
    return tmp_path / 'a method'


def test_curves_of_a_method_and_of_a_single_training(seeds, digits_run, tmp_path, capsys):
    result = balance([seeds, digits_run], tmp_path / 'out', strengths=[0.5, 0])
    assert result == json.loads((tmp_path / 'out.json').read_text())
    assert (tmp_path / 'out.png').stat().st_size > 10_000
    several, single = result['methods']
    assert (several['name'], len(several['seeds'])) == ('a method', 2)
    assert several['few'] == 2 * single['few']
    # Without a correction it is what the training reported; with it the most frequent class, the
    # only many-shot one, cannot gain.
    metrics = json.loads((digits_run / 'results.json').read_text())['metrics']
    for group in ('overall', 'many', 'medium', 'few'):
        assert single[group][0][0] == pytest.approx(metrics[f'shot/{group}'])
    assert single['many'][0][1] < single['many'][0][0]
    text = (tmp_path / 'out.md').read_text()
    assert text in capsys.readouterr().out
    assert '| a method' in text and '± 0.0 /' in text and 't = 0.5' in text


def test_groups_without_a_class_are_left_out_but_few_is_needed(digits_run, tmp_path, monkeypatch):
    found = dict.fromkeys(('balance/0/overall', 'balance/0/medium', 'balance/0/few'), 50.0)
    monkeypatch.setattr(module, 'evaluate_checkpoint', lambda *_: found)
    (method,) = balance([digits_run], tmp_path / 'out', strengths=[0])['methods']
    assert (method['few'], 'many' in method) == ([[50.0]], False)
    del found['balance/0/few']
    with pytest.raises(UserError, match='got test data without a few-shot class, expected one'):
        balance([digits_run], tmp_path / 'out', strengths=[0])


def test_options_and_thresholds_of_the_training_reach_the_prediction(
    digits_run, tmp_path, monkeypatch
):
    copytree(digits_run, tmp_path / 'run')
    record = json.loads((digits_run / 'results.json').read_text())
    record['protocol']['shot_thresholds'] = [5, 50]
    (tmp_path / 'run' / 'results.json').write_text(json.dumps(record))
    asked = []

    def evaluate(checkpoint, metric, options):
        asked.append((metric.thresholds, options))
        return dict.fromkeys(('balance/0/overall', 'balance/0/few'), 50.0)

    monkeypatch.setattr(module, 'evaluate_checkpoint', evaluate)
    options = {'model.head.predict_with': 'label'}
    balance([tmp_path / 'run'], tmp_path / 'out', strengths=[0], cfg_options=options)
    assert asked == [((5, 50), options)]
    assert 'With model.head.predict_with=label.' in (tmp_path / 'out.md').read_text()


def test_the_figure_has_few_shot_accuracy_to_the_right_and_overall_upwards():
    values = np.array([[[10.0, 60], [20, 59]], [[12, 62], [24, 61]]])  # seed, strength, axis
    (axes,) = balance_figure({'a': values, 'b': values[:1]}, (0.0, 1.0)).axes
    curves = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(curves['a'].get_xydata(), [[11, 61], [22, 60]])
    np.testing.assert_allclose(curves['b'].get_xydata(), [[10, 60], [20, 59]])
    (bars,) = (container.lines[2][0] for container in axes.containers)  # of several seeds alone
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, 2 * np.sqrt(2))  # two sample standard deviations


def test_what_cannot_be_compared(digits_run, tmp_path):
    with pytest.raises(UserError, match=r'contain no results.json'):
        balance([tmp_path], tmp_path / 'out')
    copytree(digits_run, tmp_path / 'bare')
    for path in (tmp_path / 'bare').glob('*.pth'):
        path.unlink()
    with pytest.raises(UserError, match=r'bare holds no checkpoint'):
        balance([tmp_path / 'bare'], tmp_path / 'out')
    with pytest.raises(UserError, match=r'cannot write .*folder .* does not exist'):
        balance([digits_run], tmp_path / 'none' / 'out')
    assert not list(tmp_path.glob('out*'))

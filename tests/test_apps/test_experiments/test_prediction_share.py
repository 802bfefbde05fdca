"""Tests of the comparison of predictions per class."""

import json
from shutil import copytree

import numpy as np
import pytest

from ecl.apis import train
from ecl.apis.inference import collect_predictions
from ecl.apps.experiments.prediction_share import prediction_share
from ecl.errors import UserError
from ecl.evaluation import Predictions, PredictionShare


def test_curves_of_seeds_and_of_a_single_training(digits_run, tmp_path, capsys):
    for seed in (0, 1):
        copytree(digits_run, tmp_path / 'a method' / f'seed{seed}')
    result = prediction_share([tmp_path / 'a method', digits_run], tmp_path / 'out')
    assert result == json.loads((tmp_path / 'out.json').read_text())
    assert (tmp_path / 'out.png').stat().st_size > 10_000
    kinds = ['label classifiers', 'distill classifiers']
    names = [curve['name'] for curve in result['curves']]
    assert names == [f'{run}, {kind}' for run in ('a method', digits_run.name) for kind in kinds]
    seeds, _, single, reference = result['curves']
    assert (len(seeds['seeds']), len(single['seeds'])) == (2, 1)
    np.testing.assert_allclose(seeds['share'], single['share'])
    assert single['share'] != reference['share']
    text = (tmp_path / 'out.md').read_text()
    assert text in capsys.readouterr().out
    assert all(f'| {name} ' in text for name in names)


def test_curves_of_an_earlier_call_come_first(digits_run, tmp_path):
    copytree(digits_run, tmp_path / 'new')
    earlier = prediction_share([digits_run], tmp_path / 'earlier')['curves']
    both = prediction_share([tmp_path / 'new', tmp_path / 'earlier.json'], tmp_path / 'both')
    assert both['curves'][:2] == earlier
    names = [curve['name'] for curve in both['curves'][2:]]
    assert names == ['new, label classifiers', 'new, distill classifiers']
    with pytest.raises(UserError, match='two curves have one name'):
        prediction_share([digits_run, tmp_path / 'earlier.json'], tmp_path / 'out')


def test_shares_are_those_of_the_predicted_images(digits_run, tmp_path):
    (curve, _) = prediction_share([digits_run], tmp_path / 'out')['curves']
    record = json.loads((digits_run / 'results.json').read_text())
    predictions = collect_predictions(digits_run / 'epoch_3.pth')
    predicted, tested = (
        np.bincount(found, minlength=10) for found in (predictions.predicted[0], predictions.labels)
    )
    order = np.argsort(-np.array(record['class_counts']), kind='stable')
    np.testing.assert_allclose(curve['share'], (100 * predicted / tested)[order])


def test_a_curve_is_the_mean_over_the_seeds_and_options_reach_the_prediction(
    digits_run, tmp_path, monkeypatch
):
    for seed in (0, 1):
        copytree(digits_run, tmp_path / 'method' / f'seed{seed}')
    options, labels = {'model.head.predict_with': 'label'}, np.repeat(range(10), 10)

    def collect(checkpoint, given):
        assert given == options
        predicted = labels if 'seed0' in str(checkpoint) else np.roll(labels, 5)
        confidence = np.full((1, 100), 0.9 if 'seed0' in str(checkpoint) else 0.5)
        return Predictions([''] * 100, labels, predicted[None] // 5 * 5, confidence)

    monkeypatch.setattr('ecl.apps.experiments.prediction_share.collect_predictions', collect)
    found = prediction_share([tmp_path / 'method'], tmp_path / 'out', cfg_options=options)
    (curve,) = found['curves']
    one, other = (
        np.bincount(predicted // 5 * 5, minlength=10) for predicted in (labels, np.roll(labels, 5))
    )
    np.testing.assert_allclose(curve['share'], 10 * (one + other) / 2)
    np.testing.assert_allclose(curve['confidence'], 0.7)


def test_one_classifier_has_one_curve(digits_config, fresh_engine_state, tmp_path):
    options = {'model.backbone.num_experts': 1, 'train_cfg.max_epochs': 1}
    train(digits_config, work_dir=tmp_path / 'single', cfg_options=options)
    (curve,) = prediction_share([tmp_path / 'single'], tmp_path / 'out')['curves']
    assert curve['name'] == 'single'
    assert len(curve['share']) == len(curve['confidence']) == 10


def test_what_cannot_be_drawn(digits_run, tmp_path, monkeypatch):
    copytree(digits_run, tmp_path / 'bare')
    for path in (tmp_path / 'bare').glob('*.pth'):
        path.unlink()
    with pytest.raises(UserError, match='bare holds no checkpoint'):
        prediction_share([tmp_path / 'bare'], tmp_path / 'out')
    with pytest.raises(UserError, match='cannot write'):
        prediction_share([digits_run], tmp_path / 'none' / 'out')
    record = digits_run / 'results.json'
    with pytest.raises(UserError, match=f'{record} holds no curves'):
        prediction_share([record], tmp_path / 'out')
    sizes = iter((2, 3))

    def shares(*_):
        return {'': PredictionShare(*np.ones((2, next(sizes))))}

    monkeypatch.setattr('ecl.apps.experiments.prediction_share.predict_shares', shares)
    with pytest.raises(UserError, match=r'number of classes: got .*2.*3'):
        prediction_share([digits_run, digits_run], tmp_path / 'out')
    assert not list(tmp_path.glob('out*'))

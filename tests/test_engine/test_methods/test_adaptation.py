import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ecl.apis import load_config, train
from ecl.apis import test as evaluate
from ecl.apis.checkpoint import latest_checkpoint
from ecl.engine.methods import adaptation
from ecl.engine.resume.rank_state import seed_generators
from ecl.errors import UserError
from ecl.models.expert_head import MeanAggregator
from ecl.models.sade import WeightedAggregator

SADE = Path(__file__).parents[3] / 'configs/sade/sade_r8_digits-lt.py'
ONE = SADE.parents[1] / 'balanced_softmax/balanced_softmax_r8_digits-lt.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sade')
    train(SADE, work_dir=folder, cfg_options={'train_cfg.max_epochs': 6})
    return latest_checkpoint(folder)


def skewed(order):
    source = dict(type='Digits', split='test', pipeline=[dict(type='PackInputs')])
    return {
        'test_dataloader.dataset': dict(
            _delete_=True, type='LongTailDataset', imbalance_factor=20, order=order, dataset=source
        )
    }


def test_the_weights_follow_the_test_distribution(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(adaptation, 'FEWEST', 50)
    monkeypatch.setattr(adaptation, 'LEAST_GAIN', 0)
    weights = {}
    for order in ('forward', 'backward'):
        out = tmp_path / f'{order}.json'
        metrics = evaluate(
            SADE, trained, work_dir=tmp_path, out=out, adapt=True, cfg_options=skewed(order)
        )
        told = json.loads(out.read_text())['adaptation']
        weights[order] = told['weights']
        assert sum(told['weights']) == pytest.approx(1, abs=1e-3)
        assert told['adapted'] == (told['weights'] != [0.3333] * 3)
        assert {'shot/overall', 'unadjusted/shot/overall'} <= metrics.keys()
        assert f'{told["images"]} unlabelled test images' in capsys.readouterr().out
    # The third expert is for data in which the rare classes are frequent.
    assert weights['backward'][2] > weights['forward'][2]


def test_the_configuration_keeps_its_test_pipeline():
    cfg = load_config(SADE, cfg_options=skewed('forward'))
    before = copy.deepcopy(cfg.to_dict())
    augmented = adaptation._augmented_test_data(cfg).dataset.dataset.pipeline.transforms
    assert cfg.to_dict() == before
    assert len(augmented) == len(cfg.train_dataloader.dataset.dataset.pipeline)


def test_data_workers_draw_other_numbers_for_each_view():
    cfg = load_config(SADE, cfg_options=skewed('forward') | {'test_dataloader.num_workers': 1})
    loader = adaptation._augmented_test_data(cfg)
    assert loader.num_workers == 1
    views = []
    for seed in (0, 1, 0):
        seed_generators(seed)
        views.append(torch.cat([batch['inputs'] for batch in loader]))
    assert not torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])


@pytest.mark.parametrize(
    ('images', 'mean', 'spread', 'adapted'),
    [
        (200, 0.02, 0.01, True),
        (199, 0.02, 0.01, False),
        (200, 0.009, 0.0, False),
        (200, 0.02, 0.2, False),  # two standard errors are 0.028
        (800, 0.02, 0.2, True),
    ],
)
def test_weights_need_enough_images_and_a_gain_beyond_chance(
    monkeypatch, images, mean, spread, adapted
):
    found = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    gain = mean + spread * torch.tensor([-1.0, 1.0] * images, dtype=torch.float64)[:images]
    views = iter([torch.zeros(3, images, 5)] * 2)
    monkeypatch.setattr(adaptation, '_augmented_test_data', lambda cfg: None)
    monkeypatch.setattr(adaptation, '_expert_logits', lambda *args: next(views))
    monkeypatch.setattr(adaptation, 'find_weights', lambda one, other: found)
    monkeypatch.setattr(
        adaptation, 'agreement', lambda weights, *_: gain if weights is found else 0 * gain
    )
    head = SimpleNamespace(num_experts=3, aggregator=MeanAggregator(), expert=None)
    model = SimpleNamespace(head=head, parameters=lambda: iter([torch.zeros(1)]))
    told = adaptation.adapt_model(model, None)
    assert told['adapted'] == adapted
    assert told['weights'] == ([0.2, 0.3, 0.5] if adapted else [0.3333] * 3)
    assert isinstance(head.aggregator, WeightedAggregator) == adapted


def test_few_images_change_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(adaptation, 'FEWEST', 10_000)
    out = tmp_path / 'few.json'
    metrics = evaluate(SADE, trained, work_dir=tmp_path, out=out, adapt=True)
    assert not json.loads(out.read_text())['adaptation']['adapted']
    assert metrics['shot/overall'] == metrics['unadjusted/shot/overall']


def test_one_expert_has_no_weights_to_adapt(tmp_path):
    train(ONE, work_dir=tmp_path, cfg_options={'train_cfg.max_epochs': 1})
    with pytest.raises(UserError, match=r'model\.head\.aggregator'):
        evaluate(ONE, latest_checkpoint(tmp_path), work_dir=tmp_path, adapt=True)


def test_an_expert_that_predicts_alone_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r'model\.head\.expert: got 1'):
        evaluate(SADE, trained, work_dir=tmp_path, adapt=True, cfg_options={'model.head.expert': 1})


def test_the_mean_of_experts_can_be_adapted_too():
    outputs = type('Outputs', (), {'logits': torch.randn(3, 4, 5)})
    torch.testing.assert_close(MeanAggregator()(outputs), WeightedAggregator(3)(outputs))

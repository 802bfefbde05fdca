import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MessageHub
from torch.utils.data import Subset

from ecl.apis import Predictor, collect_predictions, load_config, train
from ecl.apis import test as evaluate
from ecl.apis.checkpoint import final_checkpoint
from ecl.apis.test import use_tta
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.methods import adjustment as module
from ecl.engine.methods.adjustment import (
    AdjustmentHook,
    balanced_subset,
    selection_data,
    validates_on_test,
)
from ecl.errors import UserError
from ecl.models.adjustment import ADJUSTMENTS, TauChoice

ROOT = Path(__file__).parents[3] / 'configs'
CONFIG = ROOT / 'logit_adjustment' / 'logit_adjustment_r8_digits-lt.py'
HOOK = 'default_hooks.adjustment'
SHORT = {'train_cfg.max_epochs': 3, 'train_cfg.val_interval': 3}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('adjusted')
    train(CONFIG, work_dir=work_dir, cfg_options=SHORT)
    return work_dir


def test_the_record_has_the_model_before_and_after(run, tmp_path):
    record = json.loads((run / 'results.json').read_text())
    told = record['adjustment']
    assert told['method'] == 'logit-adjustment'
    assert told['chosen_on'] == 'training images'  # validation and test data are the same
    assert told['images'] == 331
    losses = told['balanced_cross_entropy']
    assert losses[str(told['tau'])] == min(losses.values())
    assert told['tau'] > 0
    for name, metrics in (('epoch_3', told['unadjusted']), ('adjusted', record['metrics'])):
        again = evaluate(CONFIG, run / f'{name}.pth', work_dir=tmp_path)
        assert {key: again[key] for key in metrics} == pytest.approx(metrics)


def test_the_adjusted_checkpoint_differs_in_the_bias_by_the_prior(run):
    tau = json.loads((run / 'results.json').read_text())['adjustment']['tau']
    before, after = (load_checkpoint(run / f'{n}.pth') for n in ('epoch_3', 'adjusted'))
    name = 'head.label_classifiers.0.bias'
    changed = [
        key
        for key, value in after['state_dict'].items()
        if not torch.equal(value, before['state_dict'][key])
    ]
    assert changed == [name]
    counts = np.array(after['meta']['class_counts'])
    shift = after['state_dict'][name] - before['state_dict'][name]
    np.testing.assert_allclose(shift, -tau * np.log(counts / counts.sum()), rtol=1e-4)


def test_resuming_after_the_end_adjusts_once(run):
    before = json.loads((run / 'results.json').read_text())
    record = train(CONFIG, work_dir=run, resume='auto', cfg_options=SHORT)
    assert record['adjustment'] == before['adjustment']
    assert record['metrics'] == before['metrics']


def test_a_classifier_without_bias_is_refused_before_training(tmp_path):
    options = {**SHORT, 'model.head.classifier.type': 'CosineLinear'}
    with pytest.raises(UserError, match=r'classifier\.bias=True'):
        train(CONFIG, work_dir=tmp_path, cfg_options=options)


def test_averaged_weights_are_refused_before_training(tmp_path):
    options = {**SHORT, 'custom_hooks': [dict(type='EMAHook')]}
    with pytest.raises(UserError, match='got EMAHook too'):
        train(CONFIG, work_dir=tmp_path, cfg_options=options)


@pytest.mark.parametrize('tau', ['Auto', float('nan'), float('inf'), '1', None, True])
def test_a_strength_that_is_no_number_is_refused_before_training(tau):
    with pytest.raises(UserError, match=r'AdjustmentHook\.tau: got .*, expected a finite number'):
        AdjustmentHook('tau-norm', tau=tau)


def test_a_method_of_custom_imports_is_known_and_an_unknown_one_is_named(monkeypatch):
    monkeypatch.setitem(ADJUSTMENTS, 'halve', lambda head, tau, class_counts: None)
    assert AdjustmentHook('halve').method == 'halve'
    with pytest.raises(UserError, match=r"AdjustmentHook\.method: got 'half', expected .*'halve'"):
        AdjustmentHook('half')


def test_the_best_checkpoint_leaves_the_last_one_unadjusted(tmp_path):
    options = {**SHORT, 'default_hooks.checkpoint.save_best': 'shot/few', f'{HOOK}.tau': 1.0}
    record = train(CONFIG, work_dir=tmp_path, cfg_options=options)
    unadjusted = record['adjustment']['unadjusted']
    assert record['metrics']['shot/few'] > unadjusted['shot/few']
    again = evaluate(CONFIG, tmp_path / 'epoch_3.pth', work_dir=tmp_path / 'test')
    assert {key: again[key] for key in unadjusted} == pytest.approx(unadjusted)
    resumed = train(CONFIG, work_dir=tmp_path, resume='auto', cfg_options=options)
    assert resumed['metrics'] == record['metrics']


def test_tools_read_the_model_that_the_record_describes(run, tmp_path):
    accuracy = json.loads((run / 'results.json').read_text())['metrics']['shot/overall']
    predictions = collect_predictions(final_checkpoint(run))
    assert 100 * (predictions.predicted[0] == predictions.labels).mean() == pytest.approx(accuracy)
    shutil.copytree(run, tmp_path / 'copy')
    (tmp_path / 'copy' / 'results.json').write_text('{}')  # a training without adjustment
    assert final_checkpoint(tmp_path / 'copy') == str(tmp_path / 'copy' / 'epoch_3.pth')


@pytest.mark.parametrize('adjust', ['logit-adjustment', 'tau-norm'])
def test_an_evaluation_shows_both(run, tmp_path, capsys, adjust):
    out = tmp_path / 'out.json'
    arguments = dict(work_dir=tmp_path, imbalance_factors=[10])
    plain = evaluate(CONFIG, run / 'epoch_3.pth', **arguments)
    capsys.readouterr()
    metrics = evaluate(CONFIG, run / 'epoch_3.pth', adjust=adjust, out=out, **arguments)
    before = {k.removeprefix('unadjusted/'): v for k, v in metrics.items() if 'unadjusted' in k}
    assert before == pytest.approx(plain)
    assert metrics['shot/few'] > plain['shot/few']
    result = json.loads(out.read_text())
    assert result['metrics'] == metrics
    assert result['adjustment']['chosen_on'] == 'training images'
    text = capsys.readouterr().out
    assert text.count('| test distribution') == 2
    assert f'{adjust} with tau {result["adjustment"]["tau"]:g}' in text


def test_a_given_tau_needs_no_data(run, tmp_path):
    absent = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
    options = dict.fromkeys((*absent, 'val_dataloader', 'val_cfg', 'val_evaluator'))
    arguments = dict(work_dir=tmp_path, cfg_options=options, adjust='logit-adjustment')
    zero = evaluate(CONFIG, run / 'epoch_3.pth', tau=0.0, **arguments)
    assert zero['shot/few'] == zero['unadjusted/shot/few']
    one = evaluate(CONFIG, run / 'epoch_3.pth', tau=1.0, **arguments)
    assert one['shot/few'] > zero['shot/few']
    with pytest.raises(UserError, match='no train_dataloader'):
        evaluate(CONFIG, run / 'epoch_3.pth', **arguments)
    with pytest.raises(UserError, match="got 'much'"):
        evaluate(CONFIG, run / 'epoch_3.pth', tau='much', **arguments)
    default = evaluate(CONFIG, run / 'epoch_3.pth', work_dir=tmp_path, cfg_options=options, tau=1.0)
    assert default == one


def test_an_unknown_method_is_refused_before_the_prediction(run):
    with pytest.raises(UserError, match="method: got 'taunorm', expected '"):
        evaluate(CONFIG, run / 'epoch_3.pth', adjust='taunorm')


def test_validation_data_are_used_if_they_are_not_the_test_data(run, tmp_path):
    options = {'val_dataloader.dataset.split': 'train'}
    cfg = load_config(CONFIG, cfg_options=options)
    loader, source = selection_data(cfg)
    assert source == 'validation data'
    assert len(loader.dataset) == 1297
    options = {'test_dataloader.dataset.pipeline': [dict(type='Resize', scale=8)]}
    loader, source = selection_data(load_config(CONFIG, cfg_options=options))
    assert source == 'training images'
    assert isinstance(loader.dataset, Subset)


def test_test_images_outside_memory_are_still_test_images():
    cfg = load_config('ecl_r32_cifar100-lt-if100_fast')
    assert validates_on_test(cfg)
    use_tta(cfg, 'config')
    assert validates_on_test(cfg)
    cfg.val_dataloader.dataset.dataset.data_prefix = 'validation'
    assert not validates_on_test(cfg)


def test_the_images_are_the_same_each_time():
    cfg = load_config(CONFIG)
    one, two = (
        torch.cat([torch.as_tensor(batch['inputs']) for batch in selection_data(cfg)[0]])
        for _ in range(2)
    )
    assert torch.equal(one, two)


@pytest.mark.parametrize('source', ['training images', 'validation data'])
def test_training_images_alone_are_augmented_for_the_choice(monkeypatch, source):
    augmented = []

    def choose(model, batches, method, class_counts, augment):
        augmented.append(augment)
        return TauChoice(0.5, 3, {0.5: 1.0})

    monkeypatch.setattr(module, 'selection_data', lambda cfg: ([], source))
    monkeypatch.setattr(module, 'choose_tau', choose)
    monkeypatch.setattr(module, 'adjust', lambda *args: None)
    told = module.adjust_model(None, None, 'tau-norm', 'auto', None)
    assert augmented == [source == 'training images']
    assert (told['tau'], told['chosen_on'], told['images']) == (0.5, source, 3)


def test_each_class_gives_equally_many_images():
    labels = np.repeat([0, 1, 2], [50, 20, 3])
    indices = balanced_subset(labels, 30)
    assert indices[:10] != list(range(10))  # not the first ones
    assert np.bincount(labels[indices]).tolist() == [10, 10, 3]
    assert indices == balanced_subset(labels, 30) == sorted(set(indices))


def test_a_predictor_adjusts_too(run):
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    plain, adjusted = (
        Predictor(run / 'epoch_3.pth', 'cpu', tau=tau)([image])[0].scores for tau in (None, 1.0)
    )
    counts = np.array(load_checkpoint(run / 'epoch_3.pth')['meta']['class_counts'])
    expected = plain / (counts / counts.sum())
    np.testing.assert_allclose(adjusted, expected / expected.sum(), rtol=1e-4)


def train_in_group(rank, folder):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    store = torch.distributed.FileStore(f'{folder}/rendezvous', 2)
    torch.distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    train(CONFIG, work_dir=folder / 'run', cfg_options=SHORT, launcher='pytorch')
    adjustment = MessageHub.get_current_instance().get_info('adjustment')
    (folder / f'rank{rank}.json').write_text(json.dumps(adjustment))
    torch.distributed.destroy_process_group()


def test_two_processes_choose_the_same_tau(tmp_path):
    mp.start_processes(train_in_group, args=(tmp_path,), nprocs=2, start_method='fork')
    record = json.loads((tmp_path / 'run' / 'results.json').read_text())
    chosen = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    assert chosen[0] == chosen[1] == record['adjustment']
    again = evaluate(CONFIG, tmp_path / 'run' / 'adjusted.pth', work_dir=tmp_path)
    assert {key: again[key] for key in record['metrics']} == pytest.approx(record['metrics'])

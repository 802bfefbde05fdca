import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import multiprocessing as mp

from ecl.apis import train
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from ecl.registry import HOOKS, MODELS
from soak import differences

CONFIGS = Path(__file__).parents[3] / 'configs'
CRT = CONFIGS / 'crt' / 'crt_r8_digits-lt.py'
STAGE = 'default_hooks.second_stage'
CLASSIFIER = ['head.label_classifiers.0.bias', 'head.label_classifiers.0.weight']
STEPS = 11  # of an epoch
#: Two epochs of each stage, each kept.
SHORT = {
    'train_cfg.max_epochs': 4,
    'train_cfg.val_interval': 2,
    f'{STAGE}.begin': 0.5,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.max_keep_ckpts': -1,
}
#: From given weights, nothing but the second stage.
SECOND = {**SHORT, 'train_cfg.max_epochs': 2, f'{STAGE}.begin': 0}
PLAIN = [dict(type='PackInputs')]


def weights_of(work_dir, epoch):
    return load_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']


def changed(one, other):
    return sorted(key for key in one if not torch.equal(one[key], other[key]))


@pytest.fixture(scope='module')
def crt_run(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('crt')
    train(CRT, work_dir=work_dir, cfg_options=SHORT)
    return work_dir


def test_the_second_stage_changes_the_classifiers_alone(crt_run):
    assert len(changed(weights_of(crt_run, 1), weights_of(crt_run, 2))) > 30
    assert changed(weights_of(crt_run, 2), weights_of(crt_run, 4)) == CLASSIFIER
    assert changed(weights_of(crt_run, 3), weights_of(crt_run, 4)) == CLASSIFIER


def test_frozen_parameters_have_no_momentum_and_the_rate_restarts(crt_run):
    first, second = (load_checkpoint(crt_run / f'epoch_{n}.pth')['optimizer'] for n in (2, 3))
    assert len(first['state']) > 20
    assert len(second['state']) == 2
    shapes = {tuple(state['momentum_buffer'].shape) for state in second['state'].values()}
    assert shapes == {(10,), (10, 64)}
    assert second['param_groups'][0]['initial_lr'] == 0.1


def test_the_rate_of_the_second_stage_is_scaled_too(tmp_path):
    options = {**SHORT, 'train_cfg.max_epochs': 2, 'train_dataloader.batch_size': 16}
    train(CRT, work_dir=tmp_path, cfg_options=options, auto_scale_lr=True)
    groups = (load_checkpoint(tmp_path / f'epoch_{n}.pth')['optimizer'] for n in (1, 2))
    rates = [group['param_groups'][0]['initial_lr'] for group in groups]
    # Half of 0.1, in both stages, since a step has half of the images.
    assert rates == pytest.approx([0.05, 0.05])


def test_the_record_holds_both_stages(crt_run):
    record = json.loads((crt_run / 'results.json').read_text())
    assert record['epochs'] == 4
    assert record['first_stage']['epochs'] == 2
    assert record['first_stage']['metrics'].keys() == record['metrics'].keys()
    assert record['first_stage']['metrics'] != record['metrics']


@pytest.mark.parametrize('reset', [True, False])
def test_what_is_trained_starts_anew_or_as_it_was(crt_run, tmp_path, reset):
    still = {f'{STAGE}.optimizer': dict(lr=0.0, weight_decay=0.0), f'{STAGE}.reset': reset}
    load = {'load_from': str(crt_run / 'epoch_2.pth')}
    train(CRT, work_dir=tmp_path, cfg_options={**SECOND, **still, **load})
    difference = changed(weights_of(crt_run, 2), weights_of(tmp_path, 2))
    assert difference == (CLASSIFIER if reset else [])


def test_all_free_is_a_training_with_that_sampler(tmp_path):
    plain = CONFIGS / 'cross_entropy' / 'cross_entropy_r8_digits-lt.py'
    sampler = dict(_delete_=True, type='ClassAwareSampler')
    schedule = dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)
    options = {'train_cfg.max_epochs': 2, 'param_scheduler.T_max': 2}
    train(
        plain,
        work_dir=tmp_path / 'plain',
        cfg_options={**options, 'train_dataloader.sampler': sampler},
    )
    free = dict(type='SecondStageHook', begin=0, train=['*'], param_scheduler=schedule)
    free['sampler'] = dict(type='ClassAwareSampler')
    train(plain, work_dir=tmp_path / 'free', cfg_options={**options, STAGE: free})
    one, other = (weights_of(tmp_path / name, 2) for name in ('plain', 'free'))
    assert changed(one, other) == []


class StopAt(Hook):
    """Send SIGTERM to this process after a step."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def stop_at():
    HOOKS.register_module(module=StopAt)
    yield
    HOOKS.module_dict.pop('StopAt')


@pytest.mark.parametrize('step', [5, 2 * STEPS, 2 * STEPS + 3, 3 * STEPS + 1])
@pytest.mark.parametrize('max_norm', [None, 0.1])
def test_resumes_exactly_in_either_stage(crt_run, tmp_path, stop_at, step, max_norm):
    options = {**SHORT, f'{STAGE}.max_norm': max_norm}
    straight = crt_run
    if max_norm:
        straight = tmp_path / 'straight'
        train(CRT, work_dir=straight, cfg_options=options)
    stopped = tmp_path / 'stopped'
    with pytest.raises(SystemExit, match='75'):
        stop = {'custom_hooks': [dict(type='StopAt', step=step)]}
        train(CRT, work_dir=stopped, cfg_options={**options, **stop})
    train(CRT, work_dir=stopped, resume='auto', cfg_options=options)
    assert not differences(straight, stopped)


def test_another_second_stage_is_not_resumed(crt_run, tmp_path):
    with pytest.raises(UserError, match=r'second_stage\.reset was True and is now False'):
        options = {**SHORT, f'{STAGE}.reset': False}
        train(CRT, work_dir=tmp_path, resume=crt_run / 'epoch_3.pth', cfg_options=options)


class Watch:
    """Features, labels and order of the second stage, as the classifier receives them."""

    def __init__(self, monkeypatch):
        self.steps = []
        losses = MODELS.get('ECLHead').losses

        def watch(head, outputs, targets):
            self.steps.append((outputs.feats[0].double().numpy(force=True), targets.numpy()))
            return losses(head, outputs, targets)

        monkeypatch.setattr(MODELS.get('ECLHead'), 'losses', watch)


def softmax_gradient(logits, labels, class_weights):
    """Gradient of the weighted mean cross-entropy by the logits, (N, C), in float64."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    probabilities[np.arange(len(labels)), labels] -= 1
    weights = class_weights[labels]
    return probabilities * weights[:, None] / len(labels)


@pytest.mark.parametrize('max_norm', [None, 0.1, float('inf')])
@pytest.mark.parametrize('classifier', ['Linear', 'ScaledLinear'])
def test_the_second_stage_against_numpy(crt_run, tmp_path, monkeypatch, max_norm, classifier):
    """Nesterov momentum on frozen features, with a cosine and weight decay, in float64."""
    scales = classifier == 'ScaledLinear'
    options = {
        **SECOND,
        'load_from': str(crt_run / 'epoch_2.pth'),
        'model.head.classifier': dict(type=classifier),
        f'{STAGE}.reset': False,
        f'{STAGE}.train': ['head.*.scale'] if scales else ['head.*classifiers.*'],
        f'{STAGE}.max_norm': max_norm,
        f'{STAGE}.optimizer': dict(lr=0.05, weight_decay=0.1),
    }
    watch = Watch(monkeypatch)
    train(CRT, work_dir=tmp_path, cfg_options=options)
    weight, bias = (
        weights_of(crt_run, 2)[f'head.label_classifiers.0.{name}'].double().numpy()
        for name in ('weight', 'bias')
    )
    scale = np.ones(10)
    norms = np.linalg.norm(weight, axis=1)
    norms_before = norms
    radius = norms.min() + (max_norm or np.inf) * (norms.max() - norms.min())
    trained = [scale] if scales else [weight, bias]
    momentum = [None] * len(trained)
    assert len(watch.steps) == 2 * STEPS
    for step, (feats, labels) in enumerate(watch.steps):
        lr = 0.05 * (1 + np.cos(np.pi * step / (2 * STEPS))) / 2
        products = feats @ weight.T
        gradient = softmax_gradient(products * scale + bias, labels, np.ones(10))
        by = [(gradient * products).sum(0)] if scales else [gradient.T @ feats, gradient.sum(0)]
        for k, (value, slope) in enumerate(zip(trained, by, strict=True)):
            slope = slope + 0.1 * value
            momentum[k] = slope if momentum[k] is None else 0.9 * momentum[k] + slope
            value -= lr * (slope + 0.9 * momentum[k])
        if not scales:
            norms = np.linalg.norm(weight, axis=1)
            weight *= np.minimum(1, radius / norms)[:, None]
    ours = weights_of(tmp_path, 2)
    expected = {'weight': weight, 'bias': bias} | ({'scale': scale} if scales else {})
    for name, value in expected.items():
        found = ours[f'head.label_classifiers.0.{name}'].numpy()
        np.testing.assert_allclose(found, value, rtol=2e-4, atol=2e-5, err_msg=name)
    if not scales and max_norm == 0.1:
        assert np.linalg.norm(weight, axis=1).max() < radius < norms_before.max()


def test_scales_of_lws_change_alone(crt_run, tmp_path):
    options = {
        **SHORT,
        'model.head.classifier': dict(type='ScaledLinear'),
        f'{STAGE}.reset': False,
        f'{STAGE}.train': ['head.*.scale'],
    }
    train(CRT, work_dir=tmp_path, cfg_options=options)
    name = 'head.label_classifiers.0.scale'
    assert weights_of(tmp_path, 2)[name].eq(1).all()
    assert changed(weights_of(tmp_path, 2), weights_of(tmp_path, 4)) == [name]


def test_the_loss_of_each_stage(crt_run, tmp_path):
    loss = dict(
        _delete_=True,
        type='TwoStageLoss',
        first=dict(type='CrossEntropyLoss'),
        second=dict(type='CrossEntropyLoss', loss_weight=0.0),
    )
    options = {**SHORT, 'model.head.label_loss': loss, f'{STAGE}.optimizer.weight_decay': 0.0}
    train(CRT, work_dir=tmp_path, cfg_options={**options, f'{STAGE}.reset': False})
    assert not changed(weights_of(crt_run, 2), weights_of(tmp_path, 2))
    assert not changed(weights_of(tmp_path, 2), weights_of(tmp_path, 4))


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({f'{STAGE}.train': ['neck.*']}, 'SecondStageHook.train'),
        ({f'{STAGE}.begin': 1.0}, r'begin: got 1\.0'),
        ({f'{STAGE}.max_norm': -1.0}, r'max_norm: got -1\.0'),
        ({f'{STAGE}.sampler.num_samples': 64}, r'got 2 steps per epoch, expected 11'),
    ],
)
def test_what_cannot_be_is_refused_by_key(tmp_path, options, match):
    begin = {} if f'{STAGE}.begin' in options else {f'{STAGE}.begin': 0}
    with pytest.raises(UserError, match=match):
        train(CRT, work_dir=tmp_path, cfg_options={**SHORT, **begin, **options})


def test_a_stage_needs_epochs(tmp_path):
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2)
    with pytest.raises(UserError, match='IterBasedTrainLoop'):
        train(CRT, work_dir=tmp_path, cfg_options={'train_cfg': loop})


def test_a_late_stage_has_an_epoch_in_a_short_training(tmp_path):
    options = {**SHORT, f'{STAGE}.begin': 0.95, 'train_cfg.max_epochs': 2}
    options['train_cfg.val_interval'] = 1
    record = train(CRT, work_dir=tmp_path, cfg_options=options)
    assert record['first_stage']['epochs'] == 1


def test_a_contrastive_branch_is_refused(digits_config, tmp_path):
    stage = {STAGE: dict(type='SecondStageHook', begin=0.5)}
    with pytest.raises(UserError, match=r'model\.contrast=None'):
        train(digits_config, work_dir=tmp_path, cfg_options=stage)


@pytest.mark.parametrize('reading', ['peers_only', 'peers_and_labels'])
def test_classifiers_that_no_label_supervises_are_refused(digits_config, tmp_path, reading):
    options = {
        'model.contrast': None,
        'model.head.reading': reading,
        STAGE: dict(type='SecondStageHook', begin=0.5),
    }
    with pytest.raises(UserError, match=r'model\.head\.reading'):
        train(digits_config, work_dir=tmp_path, cfg_options=options)


def test_averaged_weights_follow_the_new_classifier(tmp_path):
    options = {**SHORT, 'custom_hooks': [dict(type='EMAHook')], 'train_cfg.max_epochs': 3}
    train(CRT, work_dir=tmp_path, cfg_options={**options, f'{STAGE}.begin': 2 / 3})
    weight = CLASSIFIER[1]
    before, after = (load_checkpoint(tmp_path / f'epoch_{epoch}.pth') for epoch in (2, 3))
    averaged, own = after['state_dict'][weight], after['ema_state_dict'][f'module.{weight}']
    assert (averaged - own).norm() < 0.5 * (averaged - before['state_dict'][weight]).norm()


def train_in_group(rank, folder, options, size):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    store = torch.distributed.FileStore(f'{folder}/rendezvous', size)
    torch.distributed.init_process_group('gloo', store=store, rank=rank, world_size=size)
    train(CRT, work_dir=folder / 'run', cfg_options=options, launcher='pytorch')
    torch.distributed.destroy_process_group()


def test_two_processes_learn_the_same_classifiers(crt_run, tmp_path):
    options = {
        **SECOND,
        'load_from': str(crt_run / 'epoch_2.pth'),
        'images_per_step': 32,
        f'{STAGE}.sampler.num_samples': 330,  # even, so that the order is the same
        'train_dataloader.dataset.dataset.pipeline': PLAIN,  # ranks augment differently
    }
    train(CRT, work_dir=tmp_path / 'one', cfg_options=options)
    arguments = (tmp_path, options, 2)
    mp.start_processes(partial(train_in_group), args=arguments, nprocs=2, start_method='fork')
    one, two = weights_of(tmp_path / 'one', 2), weights_of(tmp_path / 'run', 2)
    assert changed(weights_of(crt_run, 2), two) == CLASSIFIER
    for name in CLASSIFIER:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5)


def test_two_processes_pass_from_stage_to_stage(tmp_path):
    arguments = (tmp_path, SHORT, 2)
    mp.start_processes(train_in_group, args=arguments, nprocs=2, start_method='fork')
    run = tmp_path / 'run'
    assert len(changed(weights_of(run, 1), weights_of(run, 2))) > 30
    assert changed(weights_of(run, 2), weights_of(run, 4)) == CLASSIFIER

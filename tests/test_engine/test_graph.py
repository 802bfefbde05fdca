"""A replayed step against steps one by one. A function called again stands for a CUDA graph."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, init_default_scope
from torch import nn

import ecl.engine.graph
import ecl.engine.resume.loop
from ecl.apis import train
from ecl.apis.checkpoint import latest_checkpoint
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import InMemoryDataset
from ecl.engine.graph import WARM_UP, DeviceBatches, GraphedStep, obstacle, reads_values
from ecl.engine.resume.rank_state import SeededBatches
from ecl.errors import UserError
from ecl.models.losses import LDAMLoss
from ecl.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
SHORT = {
    'optim_wrapper.optimizer.fused': True,
    'train_cfg.max_epochs': 2,
    'train_cfg.val_interval': 2,
}
FILES = {'train_dataloader.dataset.max_per_class': 60}
TWO_STAGES = {'train_cfg.max_epochs': 4, 'default_hooks.second_stage.begin': 0.5}
#: Views are drawn by the step itself, and the images lie on the device.
IN_MEMORY = {
    'data_preprocessor.views': [[dict(type='BatchRandomCrop', crop_size=8, padding=1)]] * 2,
    'data_preprocessor.type': 'MultiViewDataPreprocessor',
    'train_dataloader.dataset': dict(
        _delete_=True,
        type='InMemoryDataset',
        dataset=dict(
            type='LongTailDataset',
            imbalance_factor=50,
            max_per_class=60,
            dataset=dict(type='Digits', split='train', pipeline=[dict(type='PackInputs')]),
        ),
    ),
}


@pytest.fixture
def captured(monkeypatch):
    """Lets a CPU replay its steps; tells how often a step was captured and replayed."""
    seen = SimpleNamespace(captures=0, replays=0)

    def capture(step):
        seen.captures += 1

        def replay():
            seen.replays += 1
            return step()

        return replay

    monkeypatch.setattr(ecl.engine.graph, 'capture', capture)
    monkeypatch.setattr(ecl.engine.resume.loop, 'obstacle', lambda runner: None)
    monkeypatch.setattr(ecl.engine.resume.loop, 'own_stream', nullcontext)
    return seen


def run(folder, name='ecl', **options):
    config = CONFIGS / f'{name}/{name}_r8_digits-lt.py'
    record = train(config, work_dir=folder, cfg_options={**SHORT, **options}, resume='auto')
    return load_checkpoint(latest_checkpoint(folder))['state_dict'], record


@pytest.mark.parametrize(
    ('name', 'options', 'captures'),
    [
        ('ecl', FILES, 1),
        ('ecl', IN_MEMORY, 1),
        ('ecl', {**IN_MEMORY, 'optim_wrapper.type': 'Bfloat16OptimWrapper'}, 1),
        ('bcl', FILES, 1),
        ('crt', {**FILES, **TWO_STAGES}, 2),
        ('ldam_drw', FILES, 1),
    ],
)
def test_replayed_steps_train_as_steps_one_by_one(tmp_path, captured, name, options, captures):
    plain, record = run(tmp_path / 'plain', name, **options)
    graphed, of_graph = run(tmp_path / 'graph', name, **options, **{'train_cfg.graph': True})
    assert captured.captures == captures
    assert captured.replays > 4
    assert plain.keys() == graphed.keys()
    for key, value in plain.items():
        torch.testing.assert_close(graphed[key], value, rtol=1e-4, atol=1e-6, msg=key)
    assert of_graph['metrics'] == pytest.approx(record['metrics'], abs=0.5)
    assert _logged(tmp_path / 'graph') == pytest.approx(_logged(tmp_path / 'plain'), rel=1e-4)
    if name == 'ecl':
        weights = [
            np.load(tmp_path / f'{x}/distill_weights.npz')['weights'] for x in ('plain', 'graph')
        ]
        np.testing.assert_allclose(*weights, rtol=1e-4)


def test_a_number_that_follows_the_progress_is_captured_anew(tmp_path, captured, monkeypatch):
    passed_on = LDAMLoss.set_progress

    def set_progress(self, progress):
        passed_on(self, progress)
        self.share = progress

    monkeypatch.setattr(LDAMLoss, 'set_progress', set_progress)
    run(tmp_path, 'ldam_drw', **FILES, **{'train_cfg.graph': True})
    assert captured.captures == 2


def _logged(folder):
    lines = next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [json.loads(line)['loss'] for line in lines if 'loss' in json.loads(line)]


@HOOKS.register_module()
class StopOnce(Hook):
    """Ask for the end of the training after a step, as a signal does."""

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            runner.train_loop.stop.received = 15


def test_a_training_that_was_interrupted_resumes_exactly(tmp_path, captured):
    graph = {**IN_MEMORY, 'train_cfg.graph': True}
    whole, _ = run(tmp_path / 'whole', **graph)
    stop = {'custom_hooks': [dict(type='StopOnce', after=WARM_UP + 2)]}
    with pytest.raises(SystemExit):
        run(tmp_path / 'parts', **graph, **stop)
    parts, _ = run(tmp_path / 'parts', **graph)
    for key, value in whole.items():
        assert torch.equal(parts[key], value), key


def test_a_loss_that_is_not_finite_changes_nothing(tmp_path, captured, monkeypatch):
    graph = {**IN_MEMORY, 'train_cfg.graph': True}
    bad = WARM_UP + 1
    before = {'custom_hooks': [dict(type='StopOnce', after=bad)]}
    with pytest.raises(SystemExit):
        run(tmp_path / 'before', **graph, **before)
    step, taken = GraphedStep.__call__, []

    def poisoned(self, batch):
        taken.append(1)
        if len(taken) == bad + 1:
            batch['inputs'] = batch['inputs'].float() * torch.nan
            self._inputs[0] = self._inputs[0].float()
        return step(self, batch)

    monkeypatch.setattr(GraphedStep, '__call__', poisoned)
    with pytest.raises(UserError, match=rf'label_loss is nan .*iteration {bad + 1} \(see'):
        run(tmp_path / 'bad', **graph)
    one, other = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ('before', 'bad'))
    for key, value in one['state_dict'].items():
        assert torch.equal(other['state_dict'][key], value), key
    assert one['param_schedulers'] == other['param_schedulers']


def test_random_numbers_of_the_host_are_refused(tmp_path, captured):
    with pytest.raises(UserError, match=r'train_cfg.graph: got True, expected False: .*Mixup'):
        run(tmp_path, 'mixup', **{**FILES, 'train_cfg.graph': True})


def test_where_steps_cannot_be_captured_the_log_says_why(tmp_path):
    run(tmp_path, **{**FILES, 'train_cfg.graph': True})
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'train_cfg.graph: not used, because the device is no GPU' in log


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({}, None),
        ({'device': 'cpu'}, 'the device is no GPU'),
        ({'fused': False}, 'optim_wrapper.optimizer.fused is not True'),
        ({'accumulated': 2}, 'optim_wrapper.accumulative_counts is above 1'),
        ({'capturable': False}, 'optim_wrapper.optimizer.capturable is not True'),
        ({'clip': {'max_norm': 1}}, 'optim_wrapper.clip_grad is set'),
    ],
)
def test_what_keeps_a_step_from_being_captured(change, reason):
    options = {'device': 'cuda', 'fused': True, 'accumulated': 1, 'clip': None, **change}
    parameter = SimpleNamespace(device=torch.device(options['device']))
    defaults = {key: options[key] for key in ('fused', 'capturable') if key in options}
    wrapper = SimpleNamespace(
        optimizer=SimpleNamespace(defaults=defaults),
        _accumulative_counts=options['accumulated'],
        clip_grad_kwargs=options['clip'],
    )
    model = SimpleNamespace(parameters=lambda: iter([parameter]), modules=tuple)
    assert obstacle(SimpleNamespace(model=model, optim_wrapper=wrapper)) == reason


def test_batches_on_the_device_are_those_of_the_loader():
    dataset = InMemoryDataset(dict(type='Digits', split='test', pipeline=[dict(type='PackInputs')]))
    sampler = SeededBatches([[3, 1, 4], [1, 5]], seed=0, rank=0)
    first, second = DeviceBatches(dataset, sampler, torch.device('cpu'))
    assert torch.equal(first['inputs'], dataset.images[[3, 1, 4]])
    assert second['labels'].tolist() == dataset.get_gt_labels()[[1, 5]].tolist()
    sampler.begin(1, skipped=1)
    (rest,) = DeviceBatches(dataset, sampler, torch.device('cpu'))
    assert torch.equal(rest['inputs'], second['inputs'])


@pytest.mark.parametrize(
    ('loss', 'reads'),
    [
        (dict(type='SeesawLoss'), True),
        (dict(type='LabelSmoothLoss', label_smooth_val=0.1), True),
        (dict(type='CrossEntropyLoss', class_weight=[1.0] * 10), True),
        (dict(type='CrossEntropyLoss'), False),
        (dict(type='LDAMLoss'), False),
    ],
)
def test_losses_that_read_from_the_gpu_are_named(loss, reads):
    init_default_scope('ecl')
    given = dict(num_classes=10) if loss['type'] in ('SeesawLoss', 'LDAMLoss') else {}
    found = reads_values(nn.Sequential(MODELS.build({**loss, **given})))
    assert found == (f'{loss["type"]} reads values from the GPU' if reads else None)

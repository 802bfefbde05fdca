import copy
import gc
import os
import signal
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from yapf.yapflib import yapf_api

import ecl.engine.resume.runner
from ecl.apis import train as train_config
from ecl.apis.checkpoint import latest_checkpoint
from ecl.checkpoint_file import load_checkpoint, read_checkpoint
from ecl.engine.resume.runner import WITHOUT, RunConfig
from ecl.errors import UserError
from ecl.evaluation import ShotAccuracy
from soak import differences


class Runs:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return Path.mkdir, (Path('was-here'),)


@pytest.fixture
def trained(make_runner, tmp_path):
    """Checkpoint of a training of one epoch."""
    make_runner([], work_dir=str(tmp_path / 'first'), max_epochs=1).train()
    return tmp_path / 'first' / 'epoch_1.pth'


@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_that_could_run_code_is_refused(make_runner, trained, monkeypatch, resume):
    monkeypatch.chdir(trained.parent)
    torch.save({**load_checkpoint(trained), 'more': Runs()}, trained)
    with pytest.raises(UserError, match='trust'):
        make_runner([], load_from=str(trained), resume=resume).train()
    assert not Path('was-here').exists()


def test_another_model_is_not_resumed(make_runner, trained):
    runner = make_runner([], make_runner.Experts(compares=False), load_from=str(trained))
    runner.train()  # from its weights it may start
    content = load_checkpoint(trained)
    content['state_dict'].popitem()
    torch.save(content, trained)
    runner = make_runner([], load_from=str(trained), resume=True)
    with pytest.raises(UserError, match='checkpoint of another model'):
        runner.train()


def test_weights_to_start_from_are_unwrapped_and_counted(make_runner, trained, caplog):
    weights = load_checkpoint(trained)['state_dict']
    names = {f'module.{key}': value for key, value in weights.items() if 'layers.1' not in key}
    torch.save({'model': {**names, 'module.more': torch.ones(1)}}, trained)
    runner = make_runner([], load_from=str(trained))
    runner.call_hook('before_run')
    runner.load_or_resume()
    taken = runner.model.state_dict()
    assert all(torch.equal(taken[key.removeprefix('module.')], v) for key, v in names.items())
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert f'{len(names)} weights loaded' in log
    assert '1 unexpected (more)' in log


def test_weights_that_fit_nothing_are_refused(make_runner, trained):
    torch.save({'elsewhere': torch.ones(2)}, trained)
    with pytest.raises(UserError, match='holds no weight of this model'):
        make_runner([], load_from=str(trained)).train()


class Freed(Hook):
    """Notes which of the tensors it is given live when the training begins."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.alive = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.alive is not None:
            return
        gc.collect()
        self.alive = [name for name, tensor in self.tensors.items() if tensor() is not None]


@pytest.mark.parametrize('preloaded', [True, False])
def test_a_checkpoint_is_read_once_and_freed(make_runner, trained, monkeypatch, preloaded):
    tensors, read = {}, []

    def reading(source):
        content = read_checkpoint(source)
        read.append(source)
        tensors.update({key: weakref.ref(t) for key, t in content['state_dict'].items()})
        return content

    monkeypatch.setattr(ecl.engine.resume.runner, 'read_checkpoint', reading)
    runner = make_runner([], load_from=str(trained), resume=True)
    if preloaded:
        runner.preload(trained, reading(trained))
    runner.register_hook(hook := Freed(tensors))
    runner.train()
    assert len(read) == 1
    assert tensors
    assert hook.alive == []


def _log(runner):
    return next(Path(runner.log_dir).glob('*.log')).read_text()


@pytest.mark.parametrize('name', sorted(WITHOUT))
def test_a_hook_that_is_switched_off_is_named_in_one_line(make_runner, name):
    runner = make_runner([], default_hooks={name: None})
    told = [line for line in _log(runner).splitlines() if f'default_hooks.{name} is None' in line]
    assert len(told) == 1
    assert runner._hooks


def test_hooks_of_a_user_stand_beside_those_of_a_training(digits_config):
    cfg = Config.fromfile(digits_config)
    assert cfg.custom_hooks == []
    assert {*WITHOUT} <= cfg.default_hooks.keys()


def test_the_console_is_spared_the_environment_and_told_what_a_step_is(make_runner, capfd):
    optimizer = dict(optimizer=dict(type='SGD', lr=0.25), accumulative_counts=2)
    runner = make_runner([], optim_wrapper={'type': 'Bfloat16OptimWrapper', **optimizer})
    runner.train()
    shown = ''.join(capfd.readouterr())
    assert 'System environment' not in shown
    assert 'System environment' in _log(runner)
    (line,) = (line for line in shown.splitlines() if 'Step: ' in line)
    for part in ('64 images (1 process x 32 images x 2', 'learning rate 0.25', 'CPU', 'bfloat16'):
        assert part in line


def test_the_device_of_a_step_is_that_of_the_model(make_runner, monkeypatch):
    runner = make_runner([], max_epochs=1)
    runner.train()
    monkeypatch.setattr(runner, 'model', nn.Linear(1, 1, device='meta'))
    assert ', META, float32' in ecl.engine.resume.runner._describe_step(runner)


def test_the_text_of_a_configuration_is_formatted_once_until_it_changes(monkeypatch):
    calls = []
    form = yapf_api.FormatCode

    def counted(text, **style):
        calls.append(text)
        return form(text, **style)

    monkeypatch.setattr(yapf_api, 'FormatCode', counted)
    plain = Config(dict(a=dict(b=[1, 2]), c='d'))
    cfg = RunConfig.of(plain)
    assert cfg.pretty_text == plain.pretty_text
    before = len(calls)
    assert cfg.pretty_text == copy.deepcopy(cfg).pretty_text == plain.copy().dump()
    assert len(calls) == before + 1  # of the plain one
    cfg.a.b.append(3)
    assert '3' in cfg.pretty_text


def test_a_training_formats_its_configuration_once(digits_config, tmp_path, monkeypatch, capfd):
    calls = []
    form = yapf_api.FormatCode
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda *a, **k: calls.append(None) or form(*a, **k))
    options = {'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.interval': 1}
    train_config(digits_config, work_dir=tmp_path, cfg_options=options)
    assert len(calls) == 1
    assert 'WARNING' not in ''.join(capfd.readouterr())


@pytest.mark.parametrize('save_best', ['auto', 'shot/few', 'shot/balanced'])
def test_the_best_checkpoint_needs_no_rule(make_runner, save_best):
    hook = dict(type='CheckpointHook', save_best=save_best)
    runner = make_runner(['ClassCountsHook'], default_hooks=dict(checkpoint=hook))
    runner.train()
    key = 'shot/overall' if save_best == 'auto' else save_best
    (best,) = Path(runner.work_dir).glob(f'best_{key.replace("/", "_")}_epoch_*.pth')
    score = load_checkpoint(best)['message_hub']['runtime_info']['best_score']
    assert 0 <= score <= 100


def test_early_stopping_needs_no_rule(make_runner):
    stopping = dict(type='EarlyStoppingHook', monitor='shot/overall', patience=1, min_delta=100)
    runner = make_runner(['ClassCountsHook', stopping], max_epochs=9)
    runner.train()
    assert runner.epoch == 2


@pytest.mark.parametrize('resumed', [1, 3])
def test_early_stopping_ends_a_resumed_training_at_the_same_epoch(make_runner, tmp_path, resumed):
    stopping = dict(type='EarlyStoppingHook', monitor='shot/overall', patience=3, min_delta=100)
    # The first validation improves: its checkpoint is saved again and does not repeat it.
    saving = dict(type='CheckpointHook', interval=1, save_best='shot/overall', rule='greater')
    settings = dict(
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=9),
        default_hooks=dict(checkpoint=saving),
    )
    hooks = ['ClassCountsHook', 'StepSeedHook', stopping]
    whole = make_runner(hooks, **settings)
    whole.train()
    assert whole.epoch == 4
    checkpoint = str(tmp_path / f'run/epoch_{resumed}.pth')
    again = make_runner(hooks, load_from=checkpoint, resume=True, **settings)
    again.train()
    assert again.epoch == 4


STEPS = 6  # of an epoch
HOOKS = ['ClassCountsHook', 'StepSeedHook', 'DistillWeightHook', 'RunRecordHook']


class SignalAt(Hook):
    """Sends this process a signal in a step of the training, or in a validation."""

    def __init__(self, step=None, validation=None, number=signal.SIGTERM):
        self.step, self.validation, self.number = step, validation, number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.number)

    def before_val_epoch(self, runner):
        if runner.epoch == self.validation:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def train(make_runner, tmp_path):
    """Train in a folder from its latest checkpoint on; ``stop`` is where a signal arrives."""

    def run(folder, stop=None, **settings):
        resumed = latest_checkpoint(tmp_path / folder)
        torch.manual_seed(0)  # the model is made before the runner sets its seed
        runner = make_runner(
            [*settings.pop('hooks', HOOKS), *([SignalAt(**stop)] if stop else [])],
            work_dir=str(tmp_path / folder),
            train_cfg=dict(type='ResumableTrainLoop', max_epochs=4, val_interval=2),
            param_scheduler=dict(type='CosineAnnealingLR', T_max=4, convert_to_iter_based=True),
            load_from=resumed,
            resume=resumed is not None,
            **settings,
        )
        runner.train()
        return tmp_path / folder

    return run


SETTINGS = {
    'plain': {},
    'EMA': dict(hooks=[*HOOKS, dict(type='EMAHook', momentum=0.1)]),
    'SWA': dict(hooks=[*HOOKS, dict(type='EMAHook', ema_type='StochasticWeightAverage')]),
    'workers that stay': dict(loader=dict(num_workers=2, persistent_workers=True)),
    'sampling by class, gradients of three steps': dict(
        loader=dict(sampler=dict(type='ClassAwareSampler')),
        optim_wrapper=dict(
            type='Bfloat16OptimWrapper',
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
            accumulative_counts=4,
        ),
    ),
}


@pytest.mark.parametrize('settings', SETTINGS.values(), ids=SETTINGS)
def test_stopped_again_and_again_a_training_ends_as_if_never_stopped(train, settings):
    whole = train('whole', **settings)
    for step in (2, STEPS, 2 * STEPS + 5, 4 * STEPS):
        with pytest.raises(SystemExit, match='75'):
            train('stopped', stop=dict(step=step), **settings)
        folder = whole.with_name('stopped')
        newest = folder / f'resume_iter_{step}.pth'
        assert latest_checkpoint(folder) == str(newest)
        assert load_checkpoint(newest)['meta']['epoch'] == (step - 1) // STEPS
        assert len(list(folder.glob('resume_iter_*.pth'))) == 1
    train('stopped', **settings)
    assert differences(whole, folder) == []
    assert not list(folder.glob('resume_iter_*.pth'))


def test_ctrl_c_saves_the_step(train, tmp_path, capfd):
    with pytest.raises(KeyboardInterrupt):
        train('run', stop=dict(step=3, number=signal.SIGINT))
    assert 'SIGINT: stopped after step 3' in ''.join(capfd.readouterr())
    assert latest_checkpoint(tmp_path / 'run') == str(tmp_path / 'run/resume_iter_3.pth')


@pytest.mark.parametrize('interval', [1, 3])
def test_a_validation_that_was_stopped_is_made_up_for(train, interval):
    checkpoint = dict(type='CheckpointHook', interval=interval)
    settings = dict(default_hooks=dict(checkpoint=checkpoint))
    whole = train('whole', **settings)
    for epoch in (2, 4):
        with pytest.raises(SystemExit, match='75'):
            train('stopped', stop=dict(validation=epoch), **settings)
    stopped = train('stopped', **settings)
    assert differences(whole, stopped) == []
    kept = [1, 2, 3, 4] if interval == 1 else [3, 4]
    assert {path.name for path in stopped.glob('*.pth')} == {f'epoch_{n}.pth' for n in kept}


def test_inside_an_epoch_the_seeds_are_needed(train):
    hooks = ['ClassCountsHook', 'RunRecordHook']
    with pytest.raises(SystemExit):
        train('run', stop=dict(step=2), hooks=hooks)
    with pytest.raises(UserError, match='StepSeedHook'):
        train('run', hooks=hooks)


def test_metrics_exchange_results_in_the_work_dir(make_runner):
    loader = dict(batch_size=5, dataset=make_runner.Vectors(), sampler=dict(type='DefaultSampler'))
    own = dict(type='DumpResults', out_file_path='a.pkl', collect_dir='mine')
    runner = make_runner(
        [], test_cfg={}, test_dataloader=loader, test_evaluator=[dict(type='ShotAccuracy'), own]
    )
    runner.add_test_metric(ShotAccuracy())
    first, second, added = (Path(metric.collect_dir) for metric in runner.test_evaluator.metrics)
    assert first.is_relative_to(runner.work_dir)
    assert second == Path('mine')
    assert added == first


@pytest.mark.parametrize('norm', [nn.BatchNorm2d, type('BatchNormAct2d', (nn.BatchNorm2d,), {})])
def test_norms_with_more_than_a_norm_are_not_exchanged(make_runner, monkeypatch, norm):
    runner = make_runner([], cfg=dict(sync_bn='torch'))
    runner._distributed = True
    wrapped = []
    monkeypatch.setattr(Runner, 'wrap_model', lambda self, cfg, model: wrapped.append(model))
    network = nn.Sequential(nn.Conv2d(3, 3, 1), norm(3))
    if norm is nn.BatchNorm2d:
        runner.wrap_model(None, network)
        assert wrapped == [network]
    else:
        with pytest.raises(UserError, match=r"sync_bn: got 'torch', expected None: .*NormAct2d"):
            runner.wrap_model(None, network)

import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

from ecl.apis.checkpoint import latest_checkpoint
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from soak import differences

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

import json
import os
import shutil
import signal
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from ecl.apis import test as evaluate
from ecl.apis import train
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from ecl.models import ECLClassifier


def _differing(one: dict, other: dict) -> list[str]:
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


def test_a_training_ends_with_its_record(digits_run):
    record = json.loads((digits_run / 'results.json').read_text())
    assert record['config'].endswith('ecl_r8_digits-lt.py')
    assert (record['seed'], record['epochs']) == (0, 3)
    assert record['wall_seconds'] > 0
    assert record['versions']['torch'] == torch.__version__
    assert record['protocol'].keys() >= {
        'source',
        'subset',
        'imbalance_factor',
        'shot_thresholds',
        'evaluated',
        'epoch_used',
    }
    groups = ('overall', 'many', 'medium', 'few', 'balanced')
    experts = [f'shot/expert{k}/{group}' for k in range(3) for group in groups]
    assert record['metrics'].keys() >= {*experts, *(f'shot/{group}' for group in groups)}
    assert all(0 <= value <= 100 for value in record['metrics'].values())


def test_a_resumed_training_equals_an_uninterrupted_one(digits_run, train_digits, tmp_path):
    shutil.copy(digits_run / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    record = train_digits(tmp_path, epochs=3, resume='auto')
    straight = load_checkpoint(digits_run / 'epoch_3.pth')
    resumed = load_checkpoint(tmp_path / 'epoch_3.pth')
    assert not (tmp_path / 'epoch_2.pth').samefile(digits_run / 'epoch_2.pth')
    assert not _differing(straight['state_dict'], resumed['state_dict'])
    assert record['metrics'] == json.loads((digits_run / 'results.json').read_text())['metrics']
    moments = straight['optimizer']['state']
    assert moments
    for index, state in moments.items():
        other = resumed['optimizer']['state'][index]
        assert torch.equal(state['momentum_buffer'], other['momentum_buffer'])


def test_the_seed_decides_the_weights_and_is_resumed(digits_run, train_digits, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    train_digits(one, epochs=2, seed=1)
    first = load_checkpoint(one / 'epoch_1.pth')
    assert first['meta']['seed'] == 1
    assert _differing(
        load_checkpoint(digits_run / 'epoch_1.pth')['state_dict'], first['state_dict']
    )

    record = train_digits(two, epochs=2, resume=one / 'epoch_1.pth')
    assert record['seed'] == 1
    straight, resumed = (load_checkpoint(d / 'epoch_2.pth')['state_dict'] for d in (one, two))
    assert not _differing(straight, resumed)

    with pytest.raises(UserError, match='with seed 5: it was started with 1'):
        train_digits(two, epochs=2, seed=5, resume=one / 'epoch_1.pth')


def test_mixed_precision_runs_on_this_device(train_digits, tmp_path):
    record = train_digits(tmp_path, epochs=1, amp=True)
    assert record['epochs'] == 1
    weights = load_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']
    floating = [value for value in weights.values() if value.is_floating_point()]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in floating)


def test_auto_resume_without_a_checkpoint_starts_afresh(digits_run, train_digits, tmp_path, capsys):
    train_digits(tmp_path, epochs=1, resume='auto')
    assert f'No checkpoint in {tmp_path}' in capsys.readouterr().out
    fresh = load_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']
    assert not _differing(load_checkpoint(digits_run / 'epoch_1.pth')['state_dict'], fresh)


def test_a_training_whose_checkpoints_are_all_damaged_is_not_written_over(train_digits, tmp_path):
    (tmp_path / 'epoch_1.pth').write_bytes(b'')
    for content in (b'epoch_1.pth\n', b'gone.pth\n', b'\xff\x00'):
        (tmp_path / 'last_checkpoint').write_bytes(content)
        with pytest.raises(UserError, match=r'last_checkpoint can be loaded; .*--resume PATH'):
            train_digits(tmp_path, epochs=3, resume='auto')
        assert (tmp_path / 'last_checkpoint').read_bytes() == content
    assert (tmp_path / 'epoch_1.pth').read_bytes() == b''


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_before_the_first_step_gives_the_same_status(
    train_digits, tmp_path, monkeypatch, number
):
    module = sys.modules['ecl.apis.train']  # whose function has the same name
    monkeypatch.setattr(module, 'set_launcher', lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    with pytest.raises(SystemExit, match='75'):
        train_digits(tmp_path, epochs=1)
    assert signal.getsignal(number) is before


class SignalInStep(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_does_not_promise_that_a_loop_of_iterations_is_saved(
    digits_config, tmp_path, capsys
):
    loop = {'_delete_': True, 'by_epoch': False, 'max_iters': 9, 'val_interval': 9}
    options = {'train_cfg': loop, 'param_scheduler': None}
    with pytest.raises(SystemExit) as ended:
        train(digits_config, tmp_path, cfg_options=options, hooks=[SignalInStep()])
    assert ended.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.glob('*.pth'))
    assert 'without saving' in capsys.readouterr().err


def test_resuming_with_more_epochs_than_the_schedule_is_refused(digits_run, train_digits, tmp_path):
    with pytest.raises(UserError, match='max_epochs was 3 and is now 5'):
        train_digits(tmp_path, epochs=5, resume=digits_run / 'epoch_2.pth')


def test_resuming_another_model_is_refused(digits_run, digits_config, tmp_path):
    with pytest.raises(UserError, match=r'epoch_2\.pth is a checkpoint of another model'):
        train(
            digits_config,
            work_dir=tmp_path,
            resume=digits_run / 'epoch_2.pth',
            cfg_options={'train_cfg.max_epochs': 3, 'model.backbone.backbone.depth': 14},
        )


def test_num_classes_against_the_data(digits_config, tmp_path):
    with pytest.raises(UserError, match='num_classes is 12, but the training data has 10'):
        train(digits_config, work_dir=tmp_path, cfg_options={'model.head.num_classes': 12})


def test_a_configuration_without_training_is_refused(tmp_path):
    path = tmp_path / 'empty.py'
    path.write_text('model = dict()\n')
    with pytest.raises(UserError, match='no train_dataloader'):
        train(path, work_dir=tmp_path)


def test_weights_to_start_from_must_exist(digits_config, tmp_path):
    with pytest.raises(UserError, match=r'load_from: .*nowhere\.pth does not exist'):
        train(digits_config, work_dir=tmp_path, cfg_options={'load_from': 'nowhere.pth'})


def test_resume_may_stand_in_the_configuration(digits_run, digits_config, tmp_path):
    options = {'resume': True, 'load_from': str(digits_run / 'epoch_2.pth')}
    with pytest.raises(UserError, match=r'cannot resume .*epoch_2\.pth: train_cfg\.max_epochs'):
        train(digits_config, work_dir=tmp_path, cfg_options=options)


def test_resuming_reads_the_checkpoint_once(digits_run, train_digits, tmp_path, monkeypatch):
    shutil.copy(digits_run / 'epoch_2.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text('epoch_2.pth\n')
    read, load = [], torch.load

    def counting(path, *args, **kwargs):
        read.append(Path(getattr(path, 'name', path)))
        return load(path, *args, **kwargs)

    monkeypatch.setattr(torch, 'load', counting)
    train_digits(tmp_path, epochs=3, resume='auto')
    assert read == [tmp_path / 'epoch_2.pth']


@pytest.mark.parametrize('form', [lambda cfg: cfg, Config.to_dict], ids=['Config', 'dict'])
def test_a_configuration_in_memory_trains_as_its_file_does(
    digits_run, digits_config, tmp_path, form
):
    """The same record as of the file, and the object given stays as it is."""
    config = form(Config.fromfile(digits_config))
    before = deepcopy(dict(config))
    options = {'train_cfg.max_epochs': 3}
    record = train(config, work_dir=tmp_path / 'run', cfg_options=options)
    expected = json.loads((digits_run / 'results.json').read_text())
    assert record['metrics'] == expected['metrics']
    assert dict(config) == before


@pytest.mark.parametrize('kind', ['ECLClassifier', ECLClassifier])
def test_the_step_of_several_experts_is_not_compiled(digits_config, tmp_path, kind):
    cfg = Config.fromfile(digits_config)
    cfg.model.type, cfg.compile = kind, True
    with pytest.raises(UserError, match='compile: got True, expected False'):
        train(cfg, work_dir=tmp_path)


class _Built(Exception):
    """End of a training whose runner is built."""


class _TellLoop(Hook):
    def before_train(self, runner):
        raise _Built(type(runner.train_loop).__name__)


@pytest.mark.parametrize(
    ('train_cfg', 'loop'),
    [
        (dict(type='LinearProbeLoop'), 'LinearProbeLoop'),  # by_epoch is inherited
        (dict(_delete_=True, max_epochs=1), 'ResumableTrainLoop'),
        (dict(_delete_=True, by_epoch=False, max_iters=1), 'IterBasedTrainLoop'),
    ],
)
def test_the_loop_is_the_one_that_the_configuration_names(digits_config, tmp_path, train_cfg, loop):
    with pytest.raises(_Built, match=f'^{loop}$'):
        train(
            digits_config,
            work_dir=tmp_path,
            cfg_options={'train_cfg': train_cfg},
            hooks=[_TellLoop()],
        )


def test_mistakes_in_memory_are_told():
    with pytest.raises(UserError, match=r"^config: unknown key 'optim_wraper'; did you mean"):
        train({'optim_wraper': {}})


def test_a_configuration_without_a_file_needs_a_work_dir(digits_config, digits_run):
    content = Config.fromfile(digits_config).to_dict()
    for call in (train, lambda cfg: evaluate(cfg, digits_run)):
        with pytest.raises(UserError, match='got no work_dir and no file name'):
            call(content)


def test_log_files_are_closed(train_digits, tmp_path, open_files):
    train_digits(tmp_path, 1)
    assert not open_files()


def test_a_start_that_fails_keeps_the_record_of_the_training_before(
    digits_run, digits_config, tmp_path
):
    shutil.copytree(digits_run, tmp_path / 'run')
    with pytest.raises(UserError, match='num_classes is 12'):
        train(digits_config, work_dir=tmp_path / 'run', cfg_options={'model.head.num_classes': 12})
    before = (digits_run / 'results.json').read_text()
    assert (tmp_path / 'run' / 'results.json').read_text() == before


def test_a_training_removes_the_record_of_the_one_before(digits_run, train_digits, tmp_path):
    shutil.copytree(digits_run, tmp_path / 'run')

    class Stop(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            raise UserError('stopped')

    with pytest.raises(UserError, match='stopped'):
        train_digits(tmp_path / 'run', epochs=1, hooks=[Stop()])
    assert not (tmp_path / 'run' / 'results.json').exists()


def test_an_unfinished_training_is_not_written_over(train_digits, tmp_path):
    (tmp_path / 'resume_iter_7.pth').write_bytes(b'weights')
    (tmp_path / 'last_checkpoint').write_text('resume_iter_7.pth\n')
    message = r'holds an unfinished training \(resume_iter_7\.pth\): .* --resume, choose another '
    with pytest.raises(UserError, match=message) as caught:
        train_digits(tmp_path, epochs=1)
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / 'last_checkpoint').read_text() == 'resume_iter_7.pth\n'


@pytest.mark.parametrize('named', ['configs/mine.py', 'elsewhere/ecl_r8_digits-lt.py'])
def test_a_training_of_another_configuration_is_not_written_over(
    train_digits, tmp_path, monkeypatch, named
):
    monkeypatch.chdir(tmp_path)
    Path(named).parent.mkdir()
    Path(named).touch()
    (tmp_path / 'results.json').write_text(json.dumps({'config': named}))
    with pytest.raises(UserError, match=f'holds a training of {named}, .*choose another --work'):
        train_digits(tmp_path, epochs=1)
    assert json.loads((tmp_path / 'results.json').read_text()) == {'config': named}


def test_epochs_set_the_end_of_the_schedule_too(digits_config, tmp_path, capsys):
    record = train(digits_config, work_dir=tmp_path, epochs=2)
    assert record['epochs'] == 2
    saved = load_checkpoint(tmp_path / 'epoch_2.pth')
    assert saved['optimizer']['param_groups'][0]['lr'] < 0.001
    assert 'warning' not in capsys.readouterr().err


def test_a_schedule_of_other_epochs_is_warned_of(train_digits, tmp_path, capsys):
    (tmp_path / 'last_checkpoint').write_text('gone.pth\n')
    with pytest.raises(UserError, match='unfinished'):
        train_digits(tmp_path, epochs=1)
    said = capsys.readouterr().err
    assert 'warning: ' in said
    assert 'param_scheduler.T_max ends in epoch 60, but train_cfg.max_epochs is 1' in said
    assert '--epochs 1' in said


def test_a_batch_larger_than_the_data_is_one_line(digits_config, tmp_path):
    options = {'train_dataloader.batch_size': 500, 'train_dataloader.drop_last': True}
    message = r'train_dataloader\.batch_size: got 500, expected at most 331, .* drop_last=True'
    with pytest.raises(UserError, match=message):
        train(digits_config, work_dir=tmp_path, cfg_options=options)

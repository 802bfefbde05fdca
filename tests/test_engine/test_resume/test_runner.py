import gc
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

import ecl.engine.resume.runner
from ecl.checkpoint_file import load_checkpoint, read_checkpoint
from ecl.errors import UserError


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

    def before_train_iter(self, runner, batch_idx, data_batch=None):
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

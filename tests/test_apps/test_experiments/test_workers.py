"""Trainings that take turns in one process, against the same trainings in processes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

import ecl.engine.graph
import ecl.engine.resume.loop
from ecl.apis.checkpoint import latest_checkpoint
from ecl.apps.experiments import matrix, workers
from ecl.apps.experiments.matrix import run_matrix
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError

CONFIGS = Path(__file__).parents[3] / 'configs'
ROWS = ('ecl', 'cross_entropy', 'bcl')


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(matrix, 'INTERVAL', 0.05)


def write(path, epochs=2, rows=ROWS, **options):
    options = {
        'train_cfg.max_epochs': epochs,
        'train_dataloader.dataset.max_per_class': 60,
        'optim_wrapper.optimizer.fused': True,
        **options,
    }
    content = dict(
        title='Side by side',
        seeds=[0],
        cfg_options=options,
        rows=[dict(name=row, config=str(CONFIGS / f'{row}/{row}_r8_digits-lt.py')) for row in rows],
    )
    path.write_text(json.dumps(content))
    return path


def weights(folder):
    return {
        row: load_checkpoint(latest_checkpoint(folder / f'{row.replace("_", "-")}/seed0'))
        for row in ROWS
    }


def assert_same_weights(folder, other):
    one, another = weights(folder), weights(other)
    for row in ROWS:
        for key, value in one[row]['state_dict'].items():
            assert torch.equal(another[row]['state_dict'][key], value), (row, key)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The work dir of three trainings, each in a process of its own."""
    folder = tmp_path_factory.mktemp('alone')
    run_matrix(write(folder / 'matrix.json'), folder, jobs=3)
    return folder


def test_a_variant_that_fails_leaves_record_and_cost(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise UserError('no variant')

    monkeypatch.setattr(workers, 'train', lambda *a, **o: (tmp_path / 'results.json').touch())
    monkeypatch.setattr(workers, 'test', fail)
    monkeypatch.setattr(workers, 'model_cost', lambda cfg: {'views': 1})
    config = str(CONFIGS / 'ecl/ecl_r8_digits-lt.py')
    with pytest.raises(UserError, match='no variant'):
        workers.run_job(config, 0, str(tmp_path), {}, {'v.json': {}})
    assert json.loads((tmp_path / 'cost.json').read_text()) == {'views': 1}


def test_turns_change_no_training(alone, tmp_path, capsys):
    rows = run_matrix(write(tmp_path / 'matrix.json'), tmp_path, jobs=3, together=True)
    assert_same_weights(alone, tmp_path)
    known = json.loads((alone / 'table.json').read_text())['rows']
    for row, other in zip(rows, known, strict=True):
        assert {**row['mean'], 'seconds_per_epoch': 0} == {**other['mean'], 'seconds_per_epoch': 0}
    shown = capsys.readouterr().out
    assert shown.count('overall') >= 3
    assert 'epoch' not in shown.replace('epochs', '').replace('s/epoch', '').split('#')[0]
    for row in ROWS:
        log = (tmp_path / row.replace('_', '-') / 'seed0/matrix.log').read_text()
        assert log.count('epoch 2/2') == 1


def test_replayed_steps_take_turns_too(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(ecl.engine.graph, 'capture', lambda step: step)
    monkeypatch.setattr(ecl.engine.resume.loop, 'obstacle', lambda runner: None)
    monkeypatch.setattr(ecl.engine.resume.loop, 'own_stream', nullcontext)
    path = write(tmp_path / 'matrix.json', **{'train_cfg.graph': True})
    run_matrix(path, tmp_path, jobs=3, together=True)
    one, another = weights(alone), weights(tmp_path)
    for row in ROWS:
        for key, value in one[row]['state_dict'].items():
            torch.testing.assert_close(another[row]['state_dict'][key], value, rtol=1e-3, atol=1e-5)


class OneGenerator:
    """Stands for the generator of a GPU; a state is a number."""

    def __init__(self):
        self.states, self.used = 0, []

    def clone_state(self):
        self.states += 1
        return self.states

    def graphsafe_set_state(self, state):
        self.used.append(state)


def test_each_training_draws_from_a_state_of_its_own(tmp_path, monkeypatch):
    generator = OneGenerator()
    monkeypatch.setattr(workers, 'gpu_generator', lambda: generator)
    path = write(tmp_path / 'matrix.json', rows=('ecl', 'cross_entropy'))
    run_matrix(path, tmp_path, jobs=2, together=True)
    steps = min(generator.used.count(state) for state in (1, 2))
    assert steps > 10
    assert generator.used[: 2 * steps] == [1, 2] * steps


def test_a_failure_is_told_and_the_others_go_on(tmp_path, capsys):
    path = write(tmp_path / 'matrix.json', rows=('mixup', 'ecl'))
    content = json.loads(path.read_text())
    content['rows'][0]['cfg_options'] = {'model.head.label_loss': dict(type='SeesawLoss')}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'1 of 2 trainings failed: mixup, seed 0'):
        run_matrix(path, tmp_path, jobs=2, together=True)
    assert 'mixup, seed 0 FAILED' in capsys.readouterr().out
    assert (tmp_path / 'ecl/seed0/results.json').is_file()


def test_what_does_not_fit_is_left_for_the_next_call(tmp_path, capsys):
    path = write(tmp_path / 'matrix.json', epochs=4000, rows=('cross_entropy', 'ecl'))
    run_matrix(path, tmp_path, jobs=2, together=True, minutes=0.25)
    shown = capsys.readouterr().out
    assert 'ecl, seed 0 does not fit into 0.25 minutes: left for the next run' in shown
    assert 'trainings are left: run the command again' in shown
    assert 'FAILED' not in shown
    assert latest_checkpoint(tmp_path / 'ecl/seed0') is not None
    with pytest.raises(UserError, match='--minutes must be above 0'):
        run_matrix(path, tmp_path, minutes=0)


def test_an_interrupted_matrix_goes_on_exactly(alone, tmp_path):
    script = 'from ecl.apps.commands.experiments import matrix; matrix()'
    command = [sys.executable, '-c', script, str(write(tmp_path / 'matrix.json'))]
    command += ['--work-dir', str(tmp_path), '--jobs', '3', '--together']
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    log = tmp_path / 'bcl/seed0/matrix.log'
    while not (log.is_file() and 'epoch 1/2' in log.read_text()):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # as timeout and torchrun do
    assert process.wait(60) != 0
    assert not (tmp_path / 'bcl/seed0/results.json').is_file()
    assert latest_checkpoint(tmp_path / 'bcl/seed0') is not None
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert_same_weights(alone, tmp_path)

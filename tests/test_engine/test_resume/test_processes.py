import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from ecl.engine import epoch_worker_init_fn
from ecl.engine.resume import processes
from ecl.engine.resume.processes import (
    EXIT_STOPPED,
    StopSignals,
    exit_on_signal,
    prepare_workers,
    unsaved,
)

#: Names of the module signal that other systems than Linux lack.
MACOS_LACKS = ('sigwaitinfo',)
WINDOWS_LACKS = ('sigwaitinfo', 'SIGKILL', 'SIGUSR1', 'SIGHUP')
STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def handlers():
    return [signal.getsignal(number) for number in (*STOPPING, signal.SIGINT)]


def test_nothing_happens_without_a_signal():
    before = handlers()
    with StopSignals() as stop:
        assert handlers() != before
        assert not stop.agreed()
        stop.leave()
    assert handlers() == before


@pytest.mark.parametrize('number', STOPPING)
def test_a_signal_waits_for_the_end_of_the_step_and_sets_the_status(number):
    before = handlers()
    with pytest.raises(SystemExit) as caught, StopSignals() as stop:
        for _ in range(2):
            os.kill(os.getpid(), number)
        assert stop.agreed()
        stop.leave()
    assert caught.value.code == EXIT_STOPPED == 75
    assert handlers() == before


def test_a_hangup_that_nohup_ignores_stops_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_on_signal(), StopSignals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.agreed()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_interrupt_does_not_wait():
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed()
        with pytest.raises(KeyboardInterrupt):
            stop.leave()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_fault_after_a_signal_is_its_effect():
    with pytest.raises(SystemExit) as stopped, exit_on_signal():
        with suppress(SystemExit):  # raised where Python passes over it, as in a callback
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError('another process, which got the signal too, is gone')
    assert stopped.value.code == EXIT_STOPPED


def test_an_unsaved_training_says_so_once_and_has_the_status_of_shells(capsys):
    with pytest.raises(SystemExit) as ended, exit_on_signal(unsaved):
        with suppress(SystemExit):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGUSR1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'SIGUSR1' in line
    assert 'without saving' in line


def test_a_fault_without_a_signal_stays_one():
    with pytest.raises(RuntimeError, match='of its own'), exit_on_signal():
        raise RuntimeError('of its own')


class Draws(Dataset):
    """Every item is what the three generators give."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])


def draw(seed, num_workers):
    loader = DataLoader(
        Draws(), batch_size=2, num_workers=num_workers, worker_init_fn=epoch_worker_init_fn
    )
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return torch.cat(list(loader))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_draws_follow_the_seed_of_the_main_process(num_workers):
    first, again, other = draw(1, num_workers), draw(1, num_workers), draw(2, num_workers)
    assert torch.equal(first, again)
    assert (first != other).all()


def test_workers_draw_different_numbers():
    draws = draw(1, 2)
    assert all(len(column.unique()) == 8 for column in draws.T)


def test_a_data_loader_config_names_it():
    assert FUNCTIONS.get('epoch_worker_init_fn') is epoch_worker_init_fn
    loader = Runner.build_dataloader(
        dict(
            dataset=Draws(),
            batch_size=2,
            num_workers=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            worker_init_fn=dict(type='epoch_worker_init_fn'),
            collate_fn=dict(type='default_collate'),
        )
    )
    assert len(torch.cat(list(loader)).unique()) == 24


KILLED = """
import multiprocessing, os, pathlib, signal, time
from mmengine.hooks import Hook
from ecl.registry import HOOKS

@HOOKS.register_module()
class Killed(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        time.sleep(2)  # the workers fill their pipe
        pids = [str(worker.pid) for worker in multiprocessing.active_children()]
        pathlib.Path('workers').write_text(' '.join(pids))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def _runs(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state != 'Z'


class Survivors(Dataset):
    """Each item is the number of a signal that its data worker received and survived."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        os.kill(os.getpid(), self.numbers[index])
        return int(self.numbers[index])


@pytest.mark.parametrize(
    'lacking', [(), MACOS_LACKS, WINDOWS_LACKS], ids=['linux', 'macos', 'windows']
)
def test_a_worker_leaves_signals_to_the_training(monkeypatch, lacking):
    numbers = [signal.SIGINT, signal.SIGUSR1, signal.SIGHUP]
    if lacking:
        monkeypatch.setattr(processes, 'sys', SimpleNamespace(platform='not Linux'))
    if 'SIGHUP' in lacking:
        numbers = numbers[:1]
        monkeypatch.setattr(processes, 'SIGNALS', (signal.SIGTERM,))
    for name in lacking:
        monkeypatch.delattr(signal, name)
    loader = DataLoader(Survivors(numbers), num_workers=1, worker_init_fn=epoch_worker_init_fn)
    assert torch.cat(list(loader)).tolist() == numbers


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_workers_end_with_a_training_that_is_killed_while_their_pipe_is_full(
    digits_config, tmp_path
):
    (tmp_path / 'killed.py').write_text(KILLED)
    (tmp_path / 'config.py').write_text(
        f"_base_ = ['{digits_config}']\n"
        "custom_imports = dict(imports=['killed'])\n"
        "custom_hooks = _base_.get('custom_hooks', []) + [dict(type='Killed')]\n"
        'images_per_step = 64\n'
        'train_dataloader = dict(batch_size=64, num_workers=4, dataset=dict(_delete_=True, '
        "type='RepeatDataset', times=20, dataset=_base_.train_dataloader.dataset), "
        "collate_fn=dict(type='pseudo_collate'))\n"
    )
    root = digits_config.parents[2]
    environment = {**os.environ, 'PYTHONPATH': f'{root}{os.pathsep}{tmp_path}'}
    command = [sys.executable, root / 'tools/train.py', 'config.py']
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=DEVNULL, stderr=DEVNULL, check=False
    )
    assert done.returncode == -signal.SIGKILL
    workers = [int(pid) for pid in (tmp_path / 'workers').read_text().split()]
    assert len(workers) == 4
    try:
        for _ in range(200):
            if not any(map(_runs, workers)):
                break
            time.sleep(0.1)
        assert not [pid for pid in workers if _runs(pid)]
    finally:
        for pid in filter(_runs, workers):
            os.kill(pid, signal.SIGKILL)


def test_a_function_of_the_config_is_called_after_ours():
    called = []
    loader = DataLoader(Draws(), worker_init_fn=called.append)
    prepare_workers(loader)
    prepare_workers(loader)
    loader.worker_init_fn(3)
    assert called == [3]

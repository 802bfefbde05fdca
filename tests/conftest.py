"""What every test starts from: one CPU thread, no display, seeds, no engine state before it.

Also one short training on digits that the tests of several folders look at.
"""

import os
import signal

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
os.environ['CUDA_VISIBLE_DEVICES'] = ''  # tools/benchmark/device_check.py tests a GPU

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.utils import ManagerMixin

from ecl.apis import train

if hasattr(signal, 'SIGHUP'):  # nohup has it ignored, also in the processes that tests start
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
torch.set_num_threads(1)
# A test need not survive a power cut, and a busy disk flushes for seconds.
os.fsync = lambda descriptor: None

DIGITS = Path(__file__).parents[1] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'
KEEP_EVERY_EPOCH = {
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.max_keep_ckpts': -1,
}


def _subclasses(cls: type) -> Iterator[type]:
    yield cls
    for child in cls.__subclasses__():
        yield from _subclasses(child)


@pytest.fixture(autouse=True)
def fresh_engine_state() -> Iterator[None]:
    """Seed, and drop the engine's global instances: default scope, message hub, loggers."""
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    for cls in _subclasses(ManagerMixin):
        for instance in cls._instance_dict.values():
            for handler in list(getattr(instance, 'handlers', ())):
                handler.close()
        cls._instance_dict.clear()


@pytest.fixture
def other_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder; as on Windows, no relative path leads to another drive."""

    def relpath(path: str | Path, start: str | Path = os.curdir) -> str:
        found = os.path.normpath(path).removeprefix(f'{os.path.abspath(start)}/')
        if os.path.isabs(found):
            raise ValueError("path is on mount 'D:', start on mount 'C:'")
        return found

    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    monkeypatch.setattr(os.path, 'relpath', relpath)


@pytest.fixture
def open_files(tmp_path: Path) -> Callable[[], list[Path]]:
    """Return the files of ``tmp_path`` that this process holds open."""

    def found() -> list[Path]:
        held = [Path(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]
        return [path for path in held if path.exists() and tmp_path in path.resolve().parents]

    return found


@pytest.fixture
def digits_config() -> Path:
    return DIGITS


@pytest.fixture
def train_digits(fresh_engine_state: None) -> Callable[..., dict]:
    """Train on digits for a number of epochs, keeping the checkpoint of each."""
    return _train_digits


def _train_digits(work_dir: Path, epochs: int, **arguments) -> dict:
    options = {'train_cfg.max_epochs': epochs, **KEEP_EVERY_EPOCH}
    return train(DIGITS, work_dir=work_dir, cfg_options=options, **arguments)


@pytest.fixture(scope='session')
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of a training of three epochs."""
    work_dir = tmp_path_factory.mktemp('digits')
    _train_digits(work_dir, epochs=3)
    return work_dir

"""One short training on digits that the tests of this folder look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ecl.apis import train

DIGITS = Path(__file__).parents[2] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'
KEEP_EVERY_EPOCH = {
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.max_keep_ckpts': -1,
}


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

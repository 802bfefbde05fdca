"""What every test starts from: one thread, no display, no engine state of the test before."""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')

from collections.abc import Iterator

import pytest
import torch
from mmengine.utils import ManagerMixin

torch.set_num_threads(1)


def _subclasses(cls: type) -> Iterator[type]:
    yield cls
    for child in cls.__subclasses__():
        yield from _subclasses(child)


@pytest.fixture(autouse=True)
def fresh_engine_state() -> Iterator[None]:
    """Drop the engine's global instances: default scope, message hub, loggers, visualizers."""
    yield
    for cls in _subclasses(ManagerMixin):
        for instance in cls._instance_dict.values():
            for handler in list(getattr(instance, 'handlers', ())):
                handler.close()
        cls._instance_dict.clear()

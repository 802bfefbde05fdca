"""The tools as modules and as files."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def tools() -> Path:
    return REPOSITORY / 'tools'


@pytest.fixture
def load_tool(tools: Path) -> Callable[[str], ModuleType]:
    """Import a script of tools/ by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f'tool_{name}', tools / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """For a process of its own: this interpreter, this package, one thread."""
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'CUDA_VISIBLE_DEVICES'):
        monkeypatch.delenv(name, raising=False)
    return {
        **os.environ,
        'PYTHON': sys.executable,
        'PYTHONPATH': str(REPOSITORY),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }

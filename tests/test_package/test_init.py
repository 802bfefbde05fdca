"""``import ecl`` in front of a broken set of packages; no process, no torch."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ecl


def _fake_distribution(folder: Path, name: str) -> None:
    info = folder / f'{name.replace("-", "_")}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')


def _import_error() -> str:
    with pytest.raises(ImportError) as caught:
        importlib.reload(ecl)
    return str(caught.value)


@pytest.mark.parametrize(
    'name',
    ['mmengine', 'mmengine-lite', 'mmcv', 'mmcv-lite', 'mmcv-full', 'mmpretrain', 'mmcls'],
)
def test_an_unmaintained_distribution_is_refused_with_the_command_that_mends_it(
    name, tmp_path, monkeypatch
):
    _fake_distribution(tmp_path, name)
    monkeypatch.syspath_prepend(tmp_path)
    message = _import_error()
    assert '\n' not in message
    assert f'pip uninstall -y {name} &&' in message
    assert '--force-reinstall --no-deps onedl-mmengine onedl-mmcv onedl-mmpretrain' in message


def test_missing_engine_is_named(tmp_path, monkeypatch):
    _fake_distribution(tmp_path, 'onedl-mmcv')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), str(Path(ecl.__file__).parents[1])])
    message = _import_error()
    assert '\n' not in message
    assert message.endswith('pip install onedl-mmengine onedl-mmpretrain')


def test_version_is_there_and_import_is_cheap():
    importlib.reload(ecl)
    heavy = 'import sys, ecl; print(ecl.__version__, {"torch", "mmengine"} & set(sys.modules))'
    result = subprocess.run(
        [sys.executable, '-c', heavy],
        env={'PYTHONPATH': str(Path(ecl.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [ecl.__version__, 'set()']


def test_importing_everything_prints_nothing():
    code = 'import ecl.apis, ecl.datasets, ecl.engine, ecl.models'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout == ''


GLOBALS = """
import logging, os, random, signal, warnings
# What the libraries themselves change is not meant.
import mmcv.cnn, mmpretrain.apis, numpy, scipy.special, sklearn.datasets, torch, torch._inductor
torch.compiler.disable(print)
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader

def snapshot():
    return dict(
        loaders=dict(CheckpointLoader._schemes),
        environment=dict(os.environ),
        warnings=list(warnings.filters),
        signals={n: signal.getsignal(n) for n in signal.valid_signals()},
        logging=(list(logging.root.handlers), logging.root.level, logging.raiseExceptions),
        scope=DefaultScope.get_current_instance(),
        random=(random.getstate(), torch.get_rng_state().tolist(), str(numpy.random.get_state())),
        threads=torch.get_num_threads(),
        dtype=torch.get_default_dtype(),
        globals=torch.serialization.get_safe_globals(),
    )

before = snapshot()
import ecl, ecl.apis, ecl.datasets, ecl.engine, ecl.evaluation, ecl.models, ecl.visualization
after = snapshot()
print([key for key in before if before[key] != after[key]])
"""


def test_importing_everything_changes_nothing_global():
    run = subprocess.run(
        [sys.executable, '-c', GLOBALS], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == '[]'

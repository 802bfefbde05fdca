"""The make commands, with an interpreter that only writes down what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FAKE = '#!/bin/sh\necho "$*" >> "{log}"\n'

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Makefile looks at, and an environment that is already created."""
    shutil.copy(REPOSITORY / 'Makefile', tmp_path)
    shutil.copy(REPOSITORY / 'pyproject.toml', tmp_path)
    shutil.copytree(REPOSITORY / 'requirements', tmp_path / 'requirements')
    _write(tmp_path / '.venv' / 'bin' / 'python', FAKE.format(log=tmp_path / 'log'))
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _environment() -> dict[str, str]:
    """Without what a make that runs this suite hands down to its commands."""
    ours = ('VENV', 'PYTHON', 'TOOL', 'WORK_DIR')
    return {
        k: v for k, v in os.environ.items() if k not in ours and not k.startswith(('MAKE', 'MFL'))
    }


def _make(checkout: Path, *words: str) -> list[str]:
    """Run make; return what the interpreter of the environment was called with."""
    (checkout / 'log').unlink(missing_ok=True)
    subprocess.run(
        ['make', *words], cwd=checkout, env=_environment(), check=True, capture_output=True
    )
    return (checkout / 'log').read_text().splitlines()


TEST = '-m pytest -n 2 --dist loadfile'
WORK_DIR = 'work_dirs/quick_start'
ONE, TWO = f'{WORK_DIR}/cross-entropy', f'{WORK_DIR}/ecl'
TRAIN = [
    f'tools/analysis/matrix.py configs/comparison/quick_start.yaml --work-dir {WORK_DIR} --jobs 2',
    f'tools/analysis/compare.py {ONE} {TWO} --out {WORK_DIR}/comparison',
    f'tools/analysis/report.py {TWO}/seed0 {ONE}/seed0 --out {WORK_DIR}/report.html',
]


def test_a_second_call_installs_nothing(checkout):
    install, *train = _make(checkout, 'train')
    assert install.startswith('-m pip install')
    assert install.endswith('-c requirements/pinned.txt -e .')
    assert train == TRAIN
    assert _make(checkout, 'train') == TRAIN


def test_tests_add_to_the_environment_of_the_training(checkout):
    _make(checkout, 'train')
    install, test = _make(checkout, 'test')
    assert install.endswith('-c requirements/pinned.txt -e .[tests]')
    assert test == TEST
    assert _make(checkout, 'test') == [TEST]
    assert _make(checkout, 'train') == TRAIN


def test_lint_and_manual_use_the_same_environment(checkout):
    lint = _make(checkout, 'lint')[2:]
    assert [words.split()[1] for words in lint] == ['ruff', 'ruff', 'mypy', 'interrogate', 'pytest']
    (manual,) = _make(checkout, 'docs')
    assert manual.startswith('-m sphinx --fail-on-warning')


def test_a_changed_requirement_is_installed(checkout):
    _make(checkout, 'train')
    stamp = (checkout / '.venv' / '.runtime').stat().st_mtime
    os.utime(checkout / 'requirements' / 'runtime.txt', (stamp + 10, stamp + 10))
    install, *train = _make(checkout, 'train')
    assert install.startswith('-m pip install')
    assert train == TRAIN


def test_an_unsupported_python_is_refused_before_anything_is_created(checkout):
    old = checkout / 'old'
    _write(old, '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    command = ['make', 'train', f'PYTHON={old}', 'VENV=new']
    result = subprocess.run(
        command, cwd=checkout, env=_environment(), capture_output=True, text=True
    )
    assert result.returncode == 2
    assert f'Python 3.10 to 3.13 is needed, {old} is Python 3.9.1;' in result.stderr
    assert not (checkout / 'new').exists()

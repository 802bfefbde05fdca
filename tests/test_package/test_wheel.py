"""The wheel in an empty folder: configurations, tools and the command ``ecl``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ecl.datasets import Digits

ROOT = Path(__file__).parents[2]
BUILT_FROM = ('ecl', 'configs', 'tools', 'requirements')
FILES = (
    *('pyproject.toml', 'setup.py', 'MANIFEST.in', 'README.md', 'LICENSE'),
    *('CHANGELOG.md', 'model-index.yml'),
)


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """Build the wheel from a copy of its sources, and install it into a folder of its own."""
    source = tmp_path_factory.mktemp('source')
    for name in BUILT_FROM:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
    offline = ['--no-deps', '--no-index']
    wheel = [*pip, 'wheel', *offline, '--no-build-isolation', '--wheel-dir', source, source]
    subprocess.run(wheel, check=True)
    (built,) = source.glob('*.whl')
    site = tmp_path_factory.mktemp('site')
    subprocess.run([*pip, 'install', *offline, '--target', site, built], check=True)
    return site


@pytest.fixture
def run(installed, tmp_path):
    """Run the installed command in an empty folder."""

    def run(*words):
        environment = {**os.environ, 'PYTHONPATH': str(installed), 'CUDA_VISIBLE_DEVICES': ''}
        result = subprocess.run(
            [sys.executable, installed / 'bin' / 'ecl', *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        return result.stdout

    return run


def test_configurations_and_tools_come_along(installed):
    for folder in ('configs', 'tools'):
        here, there = ROOT / folder, installed / 'ecl' / '.mim' / folder
        files = {path.relative_to(here) for path in here.rglob('*.*') if path.suffix != '.pyc'}
        assert {path.relative_to(there) for path in there.rglob('*.*')} >= files


def test_a_configuration_inherits_a_packaged_one_by_name(run, tmp_path):
    base = "_base_ = 'ecl::ecl/ecl_r8_digits-lt.py'\n"
    (tmp_path / 'mine.py').write_text(base + 'model = dict(backbone=dict(num_experts=4))\n')
    assert 'num_experts=4' in run('config', 'mine.py')


def test_train_test_predict_and_report(run, installed, tmp_path):
    options = ['--cfg-options', 'train_cfg.max_epochs=1', 'default_hooks.checkpoint.interval=1']
    run('train', 'ecl_r8_digits-lt', *options)
    work_dir = tmp_path / 'work_dirs' / 'ecl_r8_digits-lt'
    record = json.loads((work_dir / 'results.json').read_text())
    assert record['versions']['ecl']
    assert Path(tmp_path, record['config']).resolve().is_relative_to(installed.resolve())
    checkpoint = work_dir / 'epoch_1.pth'
    run('test', 'ecl_r8_digits-lt', checkpoint, '--out', 'metrics.json')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['metrics']
    assert metrics['shot/overall'] == pytest.approx(record['metrics']['shot/overall'])
    run('report', work_dir)
    assert (work_dir / 'report.html').is_file()
    Image.fromarray(Digits(split='test')[0]['img']).save(tmp_path / 'a.png')
    assert run('predict', checkpoint, 'a.png', '--topk', '1').count('%') == 1
    assert run('predict', 'a.png', '--topk', '1').count('%') == 1  # by the model in the wheel

"""Every method trains on the digits."""

from pathlib import Path

import pytest

from ecl.apis import train

ROOT = Path(__file__).parents[2] / 'configs'
DIGITS = sorted(ROOT.glob('*/*_r8_digits-lt.py'))


@pytest.mark.parametrize('path', DIGITS, ids=lambda path: path.parent.name)
def test_trains_on_the_digits(path, tmp_path, fresh_engine_state):
    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2}
    metrics = train(path, work_dir=tmp_path, cfg_options=options)['metrics']
    assert metrics['shot/overall'] > 12  # chance is 10


@pytest.mark.parametrize(
    'folder', sorted({p.parent for p in ROOT.glob('*/metafile.yml')}), ids=lambda p: p.name
)
def test_every_method_has_a_config_for_the_digits(folder):
    assert list(folder.glob('*_r8_digits-lt.py'))

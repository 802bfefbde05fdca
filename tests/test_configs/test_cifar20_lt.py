"""The protocol that the ablation and the baselines share."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmpretrain.datasets.categories import CIFAR100_CATEGORIES

from ecl.datasets import long_tail_counts
from ecl.shots import shot_groups

ROOT = Path(__file__).parents[2] / 'configs'
ABLATION = ROOT / 'ecl/ablation'
ROWS = load(str(ABLATION / 'matrix.yaml'))['rows']
BUDGET = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'randomness')


def test_every_fifth_class_of_cifar100():
    cfg = Config.fromfile(ROOT / '_base_/datasets/cifar20_lt_16px.py')
    assert cfg.classes == sorted(CIFAR100_CATEGORIES)[::5]
    counts = long_tail_counts(20, 500, 100)
    assert counts.sum() == 2295
    assert [len(ids) for ids in shot_groups(counts).values()] == [7, 7, 6]


def test_every_ablation_is_a_row():
    named = {(ABLATION / row['config']).resolve() for row in ROWS}
    assert named > set(ABLATION.glob('*.py'))


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['name'])
def test_equal_budgets(row):
    reference, cfg = (Config.fromfile(ABLATION / name) for name in ('full.py', row['config']))
    for key in BUDGET:
        assert cfg[key] == reference[key]
    (ours, theirs) = (dict(c.train_dataloader.dataset) for c in (cfg, reference))
    assert ours.pop('dataset').data_root == theirs.pop('dataset').data_root
    assert ours == theirs
    assert cfg.train_dataloader.batch_size == reference.train_dataloader.batch_size
    assert cfg.model.backbone.backbone == reference.model.backbone.backbone

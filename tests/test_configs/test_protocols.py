"""Protocols that the ablations and the baselines share."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmpretrain.datasets.categories import CIFAR100_CATEGORIES

from ecl.apis.config_check import check_config
from ecl.datasets import long_tail_counts
from ecl.shots import shot_groups

ROOT = Path(__file__).parents[2] / 'configs'
ABLATION = ROOT / 'ecl/ablation'
BUDGET = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'randomness')


def test_every_fifth_class_of_cifar100():
    cfg = Config.fromfile(ROOT / '_base_/datasets/cifar20_lt_16px.py')
    assert cfg.classes == sorted(CIFAR100_CATEGORIES)[::5]
    counts = long_tail_counts(20, 500, 100)
    assert counts.sum() == 2295
    assert [len(ids) for ids in shot_groups(counts).values()] == [7, 7, 6]


@pytest.mark.parametrize('matrix', sorted(ABLATION.glob('*.yaml')), ids=lambda path: path.stem)
def test_equal_budgets(matrix):
    """Every row of a table has the data, the network and the budget of the others."""
    rows = [(row['name'], load_row(matrix, row)) for row in load(str(matrix))['rows']]
    _, reference = rows[-1]
    for name, cfg in rows:
        for key in BUDGET:
            assert cfg[key] == reference[key], name
        ours, theirs = (dict(c.train_dataloader.dataset) for c in (cfg, reference))
        images, expected = (dict(part.pop('dataset')) for part in (ours, theirs))
        images.pop('pipeline'), expected.pop('pipeline')
        assert (ours, images) == (theirs, expected), name
        assert cfg.train_dataloader.batch_size == reference.train_dataloader.batch_size
        assert cfg.model.backbone.backbone == reference.model.backbone.backbone


def load_row(matrix, row):
    cfg = Config.fromfile(matrix.parent / row['config'])
    cfg.merge_from_dict(row.get('cfg_options') or {})
    check_config(cfg, row['name'])
    return cfg

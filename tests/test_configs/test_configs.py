"""Every config loads, is free of misspelt names, and builds its model and pipelines."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

import ecl.datasets  # noqa: F401  registers the transforms
from ecl.apis.config import read_config_file
from ecl.apis.config_check import check_config
from ecl.apis.launch import divide_batch
from ecl.registry import MODELS, TRANSFORMS

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(p for p in ROOT.rglob('*.py') if '_base_' not in p.parts)


def pipelines(node):
    """All values under the key 'pipeline', at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == 'pipeline' else pipelines(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from pipelines(value)


@pytest.fixture
def no_initial_weights(monkeypatch):
    """Leave the weights as they are: drawing hundreds of millions takes most of the time."""
    for name in ('kaiming_uniform_', 'kaiming_normal_', 'uniform_', 'normal_'):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_builds(path, no_initial_weights):
    cfg = Config.fromfile(path)
    check_config(cfg, str(path))
    init_default_scope(cfg.default_scope)
    # A queue of the full size takes most of the time.
    if 'queue_size' in (cfg.model.get('contrast') or {}):
        cfg.model.contrast.queue_size = 64
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.get('data_preprocessor')))
    assert model.head.num_classes > 1
    several = len(model.data_preprocessor.views) > 1 or any(
        step['type'] == 'MultiView' for step in next(pipelines(cfg.train_dataloader))
    )
    assert several == (model.contrast is not None)
    for pipeline in pipelines(cfg._cfg_dict):
        for transform in pipeline:
            TRANSFORMS.build(transform)


def test_there_are_configs():
    assert len(CONFIGS) >= 9


def test_the_example_of_the_training_guide_is_a_config(tmp_path):
    guide = (ROOT.parent / 'docs/en/user_guides/training.md').read_text()
    blocks = [block.split('```')[0] for block in guide.split('```python\n')[1:]]
    (example,) = (block for block in blocks if block.startswith('_base_'))
    (tmp_path / 'mine.py').write_text(example)
    cfg = read_config_file(tmp_path / 'mine.py')
    check_config(cfg, 'mine.py')
    init_default_scope(cfg.default_scope)
    backbone = MODELS.build(cfg.model).backbone
    assert len(backbone.experts) == 4
    assert backbone._records


def files_of(path):
    """A config and every file that it inherits from, with the longest chain."""
    bases = Config._get_base_files(path)
    below = [files_of(path.parent / base) for base in bases]
    files = {path.resolve()}.union(*(found for found, _ in below))
    return files, 1 + max((depth for _, depth in below), default=0)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_few_files_to_open(path):
    files, depth = files_of(path)
    assert len(files) <= 6
    assert depth <= 3


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
@pytest.mark.parametrize('processes', [1, 2])
def test_the_images_of_a_step_are_those_that_the_first_line_says(path, processes, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    cfg = Config.fromfile(path)
    said = re.search(r'(\d+) images per step', path.read_text().split('\n')[0])
    assert cfg.images_per_step == int(said[1] if said else cfg.train_dataloader.batch_size)
    divide_batch(cfg, 'pytorch', path.name)
    assert processes * cfg.train_dataloader.batch_size == cfg.images_per_step


@pytest.mark.parametrize('method', ['balanced_softmax', 'ecl'])
def test_fine_tuning_is_saved_before_its_last_epoch(method):
    cfg = Config.fromfile(ROOT / f'{method}/{method}_lite0_photos.py')
    assert cfg.default_hooks.checkpoint.interval < cfg.train_cfg.max_epochs
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2


@pytest.mark.parametrize('name', ['ecl_r50_imagenet-lt', 'ecl_x50_imagenet-lt'])
def test_a_checkpoint_of_large_networks_stays_below_1500_megabytes(name, no_initial_weights):
    cfg = Config.fromfile(ROOT / f'ecl/{name}.py')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.get('data_preprocessor')))
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    # SGD keeps one more copy of what is trained.
    assert trained + sum(value.nbytes for value in model.state_dict().values()) < 1.5e9

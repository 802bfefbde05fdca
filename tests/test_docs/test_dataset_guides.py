"""Tests of the configs in the guides on datasets: each is loaded as it stands in the text."""

import re
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from ecl.apis import load_config
from ecl.registry import DATASETS, TRANSFORMS

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / 'docs' / 'en' / 'user_guides'


def snippets(guide):
    text = (GUIDES / guide).read_text('utf-8')
    return re.findall(r'```python\n(_base_ = .*?)```', text, re.DOTALL)


@pytest.fixture
def load(tmp_path, fresh_engine_state):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'config.py').write_text("_base_ = './configs/ecl/ecl_r50_lists-224px.py'\n")

    def load(text):
        (tmp_path / 'mine.py').write_text(text)
        cfg = load_config(tmp_path / 'mine.py')
        init_default_scope('ecl')
        return cfg

    return load


def test_damaged_images_are_replaced(load):
    (text,) = snippets('custom_datasets.md')
    cfg = load(text)
    pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    assert TRANSFORMS.build(pipeline[0]).bad == 'replace'
    assert [step.type for step in pipeline] == ['LoadImage', 'MultiView', 'PackInputs']
    assert cfg.test_dataloader.dataset.pipeline[0] == dict(type='LoadImage')


def test_any_imbalance_factor(load):
    dataset = load(snippets('benchmarks.md')[0]).train_dataloader.dataset
    assert (dataset.imbalance_factor, dataset.subset) == (20, 'cao')


def test_backward_test_set(load):
    dataset = DATASETS.build(load(snippets('benchmarks.md')[1]).test_dataloader.dataset)
    assert dataset.class_counts == dataset.class_counts[:1] + sorted(dataset.class_counts[1:])
    assert (dataset.class_counts[0], dataset.class_counts[-1]) == (1, 50)


def test_experts_with_a_shared_stage(load):
    backbone = load(snippets('training.md')[0]).model.backbone
    assert (backbone.num_experts, backbone.shared_stages) == (4, 1)

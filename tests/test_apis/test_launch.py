from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from torch import distributed

from ecl.apis.launch import set_launcher


@pytest.fixture
def opened_groups(monkeypatch) -> list:
    groups = []
    monkeypatch.setattr(
        distributed, 'init_process_group', lambda name, **limits: groups.append((name, limits))
    )
    return groups


def test_one_process_needs_no_group(opened_groups):
    cfg = Config()
    set_launcher(cfg, 'none')
    assert (cfg.launcher, cfg.get('model_wrapper_cfg'), opened_groups) == ('none', None, [])


def test_without_a_gpu_the_group_is_gloo_and_the_wrapper_has_no_device(opened_groups, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config(dict(find_unused_parameters=True))
    set_launcher(cfg, 'pytorch')
    assert opened_groups == [('gloo', {'timeout': timedelta(seconds=600)})]
    assert cfg.env_cfg.dist_cfg.timeout == 600
    assert cfg.launcher == 'pytorch'
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=True,
    )


def test_settings_of_the_wrapper_are_kept(opened_groups, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config(dict(model_wrapper_cfg=dict(type='Mine', static_graph=True)))
    set_launcher(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg.type == 'Mine'
    assert cfg.model_wrapper_cfg.static_graph is True


def test_with_a_gpu_the_engine_does_it_all(opened_groups, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config()
    set_launcher(cfg, 'pytorch')
    assert (cfg.launcher, cfg.get('model_wrapper_cfg'), opened_groups) == ('pytorch', None, [])

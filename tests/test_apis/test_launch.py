import multiprocessing
import os
import signal
import time
from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from torch import distributed

from ecl.apis import launch
from ecl.apis.launch import alone_in, divide_batch, set_launcher
from ecl.errors import UserError


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
    assert cfg.model_wrapper_cfg.broadcast_buffers is False


def test_with_a_gpu_the_engine_does_it_all(opened_groups, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    cfg = Config()
    set_launcher(cfg, 'pytorch')
    assert (cfg.launcher, cfg.get('model_wrapper_cfg'), opened_groups) == ('pytorch', None, [])


def test_with_a_gpu_a_wrapper_of_the_config_broadcasts_no_buffers(opened_groups, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    cfg = Config(dict(model_wrapper_cfg=dict(type='Mine', static_graph=True)))
    set_launcher(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg == dict(type='Mine', static_graph=True, broadcast_buffers=False)


@pytest.mark.parametrize(('hidden', 'found'), [('-1', 1), ('', 1), (None, 0)])
def test_a_cpu_is_used_where_it_is_meant(monkeypatch, hidden, found):
    _without_cuda(monkeypatch, hidden, found)
    set_launcher(Config(), 'none')


def test_a_gpu_that_does_not_start_is_an_error(monkeypatch):
    _without_cuda(monkeypatch, None, 1)
    with pytest.raises(UserError, match='CUDA_VISIBLE_DEVICES=-1'):
        set_launcher(Config(), 'none')


def _without_cuda(monkeypatch, hidden, found):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(launch, '_nvidia_devices', lambda: ['/dev/nvidia0'][:found])
    if hidden is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', hidden)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    with pytest.raises(UserError, match='got 2 GPUs'):
        set_launcher(Config(), 'pytorch')


def batch_of(images, processes, accumulated=1, batch_size=None, monkeypatch=None):
    cfg = Config(dict(train_dataloader={}, optim_wrapper=dict(accumulative_counts=accumulated)))
    if images is not None:
        cfg.images_per_step = images
    if batch_size is not None:
        cfg.train_dataloader.batch_size = batch_size
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    divide_batch(cfg, 'none' if processes == 1 else 'pytorch', 'a.py')
    return cfg.train_dataloader.get('batch_size')


@pytest.mark.parametrize(
    ('images', 'processes', 'accumulated', 'batch_size', 'expected'),
    [
        (256, 1, 1, 256, 256),
        (256, 8, 1, 256, 32),
        (256, 8, 2, 256, 16),
        (256, 8, 1, None, 32),
        (256, 8, 1, 32, 32),
        (None, 8, 1, 64, 64),
    ],
)
def test_the_images_of_a_step_are_divided(
    monkeypatch, images, processes, accumulated, batch_size, expected
):
    assert batch_of(images, processes, accumulated, batch_size, monkeypatch) == expected


def test_images_that_do_not_divide_or_contradict_are_refused(monkeypatch):
    with pytest.raises(UserError, match='got 256, expected a multiple of 3'):
        batch_of(256, 3, 1, 256, monkeypatch)
    with pytest.raises(UserError, match='got 2, expected a multiple of 4'):
        batch_of(2, 4, 1, 2, monkeypatch)
    with pytest.raises(UserError, match=r'batch_size: got 64, expected 256 .* images_per_step=64'):
        batch_of(256, 1, 1, 64, monkeypatch)


def _stay(folder, entered):
    with alone_in(folder):
        entered.set()
        time.sleep(60)


def test_a_second_process_is_told_who_is_in_there(tmp_path):
    context = multiprocessing.get_context('fork')
    entered = context.Event()
    first = context.Process(target=_stay, args=(tmp_path / 'run', entered))
    first.start()
    assert entered.wait(60)
    message = rf'training in .*run: process {first.pid} on '
    with pytest.raises(UserError, match=message), alone_in(tmp_path / 'run'):
        pass
    with alone_in(tmp_path / 'other'):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with alone_in(tmp_path / 'run'):
        pass


def test_the_lock_ends_with_the_block_even_if_a_child_lives_on(tmp_path):
    with alone_in(tmp_path):
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with alone_in(tmp_path):
            pass
    finally:
        child.kill()
        child.join()

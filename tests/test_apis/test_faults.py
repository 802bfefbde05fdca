import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from ecl.apis import train
from ecl.apis.faults import explain_faults
from ecl.errors import UserError
from ecl.registry import TRANSFORMS
from ecl.settings import SettingError


class Contrast:
    pass


CONFIG = Config(
    dict(
        model=dict(
            backbone=dict(type='MultiExpertBackbone', num_experts=3),
            head=dict(
                type='ECLHead',
                expert_losses=dict(distill=dict(weighting=dict(type='Weighting', gamma=-1))),
            ),
            contrast=dict(type=Contrast, queue_size=64),  # as in a pure Python config
        ),
        train_dataloader=dict(batch_size=32, num_workers=4, dataset=[dict(type='LoadImage')]),
        val_dataloader=dict(batch_size=8, num_workers=2),
        test_dataloader=dict(batch_size=9, num_workers=0),
        optim_wrapper=dict(optimizer=dict(type='SGD')),
    )
)


def explained(error):
    with pytest.raises(UserError) as caught, explain_faults(CONFIG, 'a.py'):
        raise error
    assert caught.value.__cause__ is error
    assert '\n' not in str(caught.value)
    return str(caught.value)


class MultiExpertBackbone:
    pass


class Weighting:
    pass


class LoadImage:
    pass


class Elsewhere:
    pass


@pytest.mark.parametrize(
    ('owner', 'name', 'value', 'key'),
    [
        (MultiExpertBackbone, 'num_experts', 3, 'model.backbone.num_experts'),
        (MultiExpertBackbone, 'shared_stages', 7, 'model.backbone.shared_stages'),
        (Weighting, 'gamma', -1, 'model.head.expert_losses.distill.weighting.gamma'),
        (Contrast, 'momentum', 2, 'model.contrast.momentum'),
        (Elsewhere, 'eps', 0, 'Elsewhere.eps'),
        (LoadImage, 'bad', 'x', 'train_dataloader.dataset.0.bad'),
    ],
)
def test_a_setting_is_traced_to_its_key(owner, name, value, key):
    message = explained(SettingError(owner(), name, value, 'good'))
    assert message == f'a.py: {key}: got {value!r}, expected good.'


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('train_cfg.val_interval', 0, r'train_cfg\.val_interval: got 0, expected .* at least 1'),
        (
            'val_dataloader.batch_size',
            'x',
            r"val_dataloader\.batch_size: got 'x', expected a whole number",
        ),
        (
            'train_dataloader.num_workers',
            -1,
            r'train_dataloader\.num_workers: got -1',
        ),
        ('randomness.seed', -1, r'randomness\.seed: got -1, expected a whole number of at least 0'),
        ('optim_wrapper.clip_grad.max_norn', 1, r"max_norn is not .*; did you mean 'max_norm'"),
        ('default_hooks.checkpoint.interval', 'x', r'default_hooks\.checkpoint\.interval: got'),
    ],
)
def test_a_setting_out_of_range_is_one_line(digits_config, tmp_path, key, value, message):
    with pytest.raises(UserError, match=rf'ecl_r8_digits-lt\.py: .*{message}') as caught:
        train(digits_config, work_dir=tmp_path, cfg_options={key: value})
    assert '\n' not in str(caught.value)


ASKED = 'CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15.77 GiB'


@pytest.mark.parametrize(
    ('text', 'more'),
    [
        (ASKED, '2.50 GiB'),
        ('CUDA error: out of memory', None),
        ('cuDNN error: CUDNN_STATUS_ALLOC_FAILED', None),
        ('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`', None),
        ("NCCL error: unhandled cuda error. Cuda failure 'out of memory'", None),
    ],
)
def test_a_full_gpu_says_what_to_lower(text, more):
    message = explained(RuntimeError(text))
    assert message.startswith('out of GPU memory')
    assert ('2.50 GiB' in message) == bool(more)
    for loader, size in (('train', 32), ('val', 8), ('test', 9)):
        assert f'{loader}_dataloader.batch_size (now {size})' in message
    assert 'model.backbone.num_experts (now 3)' in message


def test_memory_of_the_machine_that_runs_out_is_real():
    message = r'^out of memory \(\d+ bytes more .*: lower train_data'
    with pytest.raises(UserError, match=message), explain_faults(CONFIG, 'a.py'):
        torch.empty(1 << 55)


def test_a_full_shared_memory_is_told_apart():
    text = 'DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that'
    assert '/dev/shm' in explained(RuntimeError(text))


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='unknown gloo'), explain_faults(CONFIG, 'a.py'):
        raise RuntimeError('unknown gloo')
    with pytest.raises(KeyError), explain_faults(CONFIG, 'a.py'):
        raise KeyError('a')


@TRANSFORMS.register_module()
class Faulty(BaseTransform):
    def __init__(self, kind):
        self.kind = kind

    def transform(self, results):
        if self.kind == 'dies':
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('dies', r'a data worker died .*lower train_dataloader\.num_workers \(now 1\)'),
        ('hangs', r'no batch for 2 seconds: .* increase the timeout of '),
    ],
)
def test_a_data_worker_that_fails_ends_the_training(digits_config, tmp_path, kind, message):
    options = {
        'train_dataloader.num_workers': 1,
        'train_dataloader.timeout': 2 if kind == 'hangs' else 300,
        'train_dataloader.dataset.dataset.pipeline.1': dict(type='Faulty', kind=kind),
    }
    with pytest.raises(UserError, match=message):
        train(digits_config, work_dir=tmp_path, cfg_options=options)


DIES = """
import os, signal
from mmengine.hooks import Hook
from ecl.registry import HOOKS

@HOOKS.register_module()
class Dies(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2 and runner.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_when_a_process_dies_the_other_ends_with_an_error(digits_config, tmp_path):
    (tmp_path / 'dies.py').write_text(DIES)
    (tmp_path / 'config.py').write_text(
        f"_base_ = ['{digits_config}']\n"
        "custom_imports = dict(imports=['dies'])\n"
        "custom_hooks = _base_.get('custom_hooks', []) + [dict(type='Dies')]\n"
    )
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    root = digits_config.parents[2]
    environment = {
        **os.environ,
        'PYTHONPATH': f'{root}{os.pathsep}{tmp_path}',
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
        'WORLD_SIZE': '2',
    }
    command = [sys.executable, root / 'tools/train.py', 'config.py', '--launcher', 'pytorch']
    both = [
        subprocess.Popen(
            command,
            env={**environment, 'RANK': str(rank), 'LOCAL_RANK': str(rank)},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = both[0].communicate(timeout=300)[1]
        assert both[1].wait(timeout=10) == -signal.SIGKILL
    finally:
        for process in both:
            process.kill()
    assert both[0].returncode == 2, said
    assert 'error: rank 0 lost another process of this run' in said
    assert 'Traceback' not in said


def test_a_package_to_install_is_named():
    fault = ImportError('Please run "pip install wandb" to install wandb')
    assert explained(fault) == f'a.py: {fault}'
    with pytest.raises(ImportError, match='cannot import'), explain_faults(CONFIG, 'a.py'):
        raise ImportError('cannot import name')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {
                'optim_wrapper.optimizer.nesterov': True,
                'optim_wrapper.optimizer.dampening': 0.5,
            },
            'optim_wrapper .* Nesterov momentum requires',
        ),
        (
            {'model.backbone.backbone': dict(_delete_=True, type='ConvNeXt', arch='tinyy')},
            "model .*'tiny'",
        ),
        (
            {'model.backbone.backbone': dict(_delete_=True, type='TIMMBackbone', model_name='x')},
            r'model .* Unknown model \(x\)',
        ),
    ],
)
def test_values_that_a_library_refuses_are_told_with_their_key(
    digits_config, tmp_path, options, message
):
    with pytest.raises(UserError, match=message):
        train(digits_config, work_dir=tmp_path, cfg_options=options)
    (log,) = tmp_path.glob('*/*.log')
    assert 'Traceback' in log.read_text()

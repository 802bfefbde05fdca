"""Prepare a run for its devices and processes, and lock its work dir."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from mmengine.config import Config
from torch import distributed

from ecl.engine.resume.processes import TIMEOUT
from ecl.errors import UserError

#: 'none': one process. 'pytorch': started by torchrun, which sets the ranks in the environment.
LAUNCHERS = ('none', 'pytorch')
#: Lock file in a work dir, and the file that names the process that holds the lock.
LOCK, OWNER = '.lock', '.lock_owner'


def set_launcher(cfg: Config, launcher: str) -> None:
    """Prepare a configuration, and this process, for training or testing.

    MMEngine selects a GPU for each process. Without a GPU, the gloo process group is opened here,
    before the Runner looks for it, and the model is wrapped without a device.

    Args:
        cfg: The configuration to change in place.
        launcher: One of ``LAUNCHERS``.

    Raises:
        UserError: If the machine has a GPU that PyTorch cannot use, or fewer GPUs than processes.
    """
    _check_gpus(launcher)
    cfg.launcher = launcher
    if launcher == 'none':
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg': {'timeout': TIMEOUT, **_dist_cfg(cfg)}})
    wrapper = cfg.get('model_wrapper_cfg') or {}
    # The updates of a queue keep it equal on all ranks. Broadcasting it in each step would copy the
    # whole queue.
    exact = dict(broadcast_buffers=False)
    if torch.cuda.is_available():
        if wrapper:
            cfg.model_wrapper_cfg = {**wrapper, **exact}
        return
    if not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=timedelta(seconds=_dist_cfg(cfg)['timeout']))
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **wrapper,
        **exact,
        'device_ids': None,
    }


def divide_batch(cfg: Config, launcher: str, source: str) -> None:
    """Divide ``images_per_step`` of a training by its processes.

    The settings of a recipe depend on the number of images of a whole step. ``images_per_step`` is
    this number over all processes and accumulated iterations, so the recipe is the same on one GPU
    and on eight. Without it ``train_dataloader.batch_size`` counts the images of one process, as in
    MMEngine.

    Args:
        cfg: The configuration to change in place: ``train_dataloader.batch_size`` becomes the
            images of one process and iteration.
        launcher: One of ``LAUNCHERS``.
        source: File name of the configuration, for the error.

    Raises:
        UserError: If the images cannot be divided, or ``train_dataloader.batch_size`` is another
            number.
    """
    total = cfg.get('images_per_step')
    if total is None:
        return
    processes = 1 if launcher == 'none' else int(os.environ.get('WORLD_SIZE', 1))
    accumulated = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    share, rest = divmod(total, processes * accumulated)
    if rest or not share:
        raise UserError(
            f'{source}: images_per_step: got {total}, expected a multiple of '
            f'{processes * accumulated} ({processes} processes x {accumulated} accumulated '
            'iterations). Change one of these values.'
        )
    own = cfg.train_dataloader.get('batch_size', total)
    if own not in (total, share):
        raise UserError(
            f'{source}: train_dataloader.batch_size: got {own}, expected {total} as in '
            f'images_per_step. Set images_per_step={own} for {own} images over all processes, or '
            f'images_per_step=None for {own} images per process.'
        )
    cfg.train_dataloader.batch_size = share


def _check_gpus(launcher: str) -> None:
    if not torch.cuda.is_available():
        hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
        if not hidden and _nvidia_devices():
            raise UserError(
                f'this machine has an NVIDIA GPU, but PyTorch {torch.__version__} (CUDA '
                f'{torch.version.cuda}) cannot use it. Update the driver, or install a PyTorch for '
                'this driver. To run on the CPU, set CUDA_VISIBLE_DEVICES=-1.'
            )
        return
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1)) if launcher == 'pytorch' else 1
    if processes > torch.cuda.device_count():
        raise UserError(
            f'{processes} processes on this machine: got {torch.cuda.device_count()} GPUs, '
            'expected one GPU per process. Start fewer processes.'
        )


def _nvidia_devices() -> list[Path]:
    return list(Path('/dev').glob('nvidia[0-9]*'))


def _dist_cfg(cfg: Config) -> dict[str, Any]:
    return (cfg.get('env_cfg') or {}).get('dist_cfg') or {'backend': 'nccl'}


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Lock a work dir against other processes.

    The lock ends with the process and its data workers, even if they are killed.

    Args:
        folder: The work dir. It is made if it does not exist.

    Raises:
        UserError: If another process holds the lock, with its number.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    owner = Path(folder, OWNER)
    lock = FileLock(Path(folder, LOCK))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        named = owner.read_text() if owner.is_file() else ''
        raise UserError(
            f'another process is training in {folder}: {named.strip() or "unnamed"}. Wait for it, '
            'end it, or choose another --work-dir.'
        ) from None
    try:
        owner.write_text(f'process {os.getpid()} on {platform.node()}\n')
        yield
    finally:
        lock.release()

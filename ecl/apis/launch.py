"""Several processes, with or without a GPU."""

from datetime import timedelta
from typing import Any

import torch
from mmengine.config import Config
from torch import distributed

#: 'none': one process. 'pytorch': started by torchrun, which sets the ranks in the environment.
LAUNCHERS = ('none', 'pytorch')
#: Seconds that a process waits for the others. Longer than it waits for its own data workers, so
#: that the process whose data hang is the one to say so.
TIMEOUT = 600


def set_launcher(cfg: Config, launcher: str) -> None:
    """Prepare a configuration, and this process, for distributed training or testing.

    Without a GPU the engine would fail on selecting one, so the gloo process group is opened here,
    before the Runner looks for it, and the model is wrapped without a device.

    Args:
        cfg: The configuration to change in place.
        launcher: One of ``LAUNCHERS``.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg': {'timeout': TIMEOUT, **_dist_cfg(cfg)}})
    if torch.cuda.is_available():
        return
    if not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=timedelta(seconds=_dist_cfg(cfg)['timeout']))
    wrapper = dict(
        type='MMDistributedDataParallel',
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    # Buffers such as queues are kept equal by their own updates, as under the engine's default.
    cfg.model_wrapper_cfg = {
        **wrapper,
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
        'broadcast_buffers': False,
    }


def _dist_cfg(cfg: Config) -> dict[str, Any]:
    return (cfg.get('env_cfg') or {}).get('dist_cfg') or {'backend': 'nccl'}

"""Several processes, with or without a GPU."""

import torch
from mmengine.config import Config
from torch import distributed

#: 'none': one process. 'pytorch': started by torchrun, which sets the ranks in the environment.
LAUNCHERS = ('none', 'pytorch')


def set_launcher(cfg: Config, launcher: str) -> None:
    """Prepare a configuration, and this process, for distributed training or testing.

    Without a GPU the engine would fail on selecting one, so the gloo process group is opened here,
    before the Runner looks for it, and the model is wrapped without a device.

    Args:
        cfg: The configuration to change in place.
        launcher: One of ``LAUNCHERS``.
    """
    cfg.launcher = launcher
    if launcher == 'none' or torch.cuda.is_available():
        return
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
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

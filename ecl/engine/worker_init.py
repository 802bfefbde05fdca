"""Worker processes of a data loader: their random numbers, and when they end."""

import os
import random
import signal
import threading

import numpy as np
import torch
from mmengine.registry import FUNCTIONS


# Registered at the root: the engine looks such functions up there and in no child registry.
@FUNCTIONS.register_module()
def epoch_worker_init_fn(worker_id: int) -> None:
    """Prepare a data-loading worker.

    - It is seeded from the process that started it. MMEngine's own function gives the workers the
      same seed whenever they start, hence in every epoch. Batches of
      :class:`~ecl.engine.seeding.SeededBatches` bring a seed of their own, so this one serves
      loaders without them.
    - It leaves signals to the process that started it, and ends when that process says so. A
      scheduler that stops a job signals all of its processes, and a worker that ended at once would
      take the training down before it is saved.

    :class:`~ecl.engine.hooks.StepSeedHook` puts it in charge of the training's workers, unless the
    config names another function.

    Args:
        worker_id: Number of the worker; PyTorch has mixed it into the seed already.

    Example:
        >>> loader = torch.utils.data.DataLoader(range(4), num_workers=2,
        ...                                      worker_init_fn=epoch_worker_init_fn)
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if not hasattr(signal, 'sigwaitinfo'):  # macOS and Windows cannot tell who sent a signal
        return
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()


def _wait_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)

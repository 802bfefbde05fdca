"""Data workers: their random numbers, and when they end."""

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import worker_init_fn as engine_worker_init_fn
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

#: Option of Linux's prctl: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1


# Registered at the root: MMEngine looks such functions up there and in no child registry.
@FUNCTIONS.register_module()
def epoch_worker_init_fn(worker_id: int, then: Callable[[int], Any] | None = None) -> None:
    """Prepare a data worker.

    - Seed it from the process that started it. MMEngine's own function gives the workers the same
      seed in every epoch. (Batches of :class:`~ecl.engine.resume.seeding.SeededBatches` bring their
      own seed.)
    - End it when its parent ends, also by SIGKILL. PyTorch's own check does not run while the
      worker waits for a full pipe.
    - Ignore SIGINT, SIGUSR1, and any SIGTERM that another process than the parent sent. A scheduler
      sends its signal to all processes of a job; a worker that ended at once would end the
      training before it is saved.

    :class:`~ecl.engine.resume.StepSeedHook` sets it for the loaders of a run.

    Args:
        worker_id: Number of the worker. PyTorch has mixed it into the seed already.
        then: Function to call with ``worker_id`` afterwards.

    Example:
        >>> loader = torch.utils.data.DataLoader(range(4), num_workers=2,
        ...                                      worker_init_fn=epoch_worker_init_fn)
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    parent = multiprocessing.parent_process()
    if parent is not None:  # without workers there is none
        _end_with(parent)
        _ignore_signals(parent.pid)
    if then is not None:
        then(worker_id)


def prepare_workers(loader: DataLoader) -> None:
    """Make ``loader`` start its workers with :func:`epoch_worker_init_fn`.

    A function of the config is called afterwards. MMEngine's default function is replaced.
    """
    then = loader.worker_init_fn
    inner = getattr(then, 'func', then)
    if inner is engine_worker_init_fn:
        then = None
    if inner is not epoch_worker_init_fn:
        loader.worker_init_fn = partial(epoch_worker_init_fn, then=then)


def _end_with(parent: Any) -> None:
    """End this process when its parent ends, however it ends."""
    if sys.platform == 'linux' and os.getppid() == parent.pid:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it ended before the call
            os._exit(1)
    else:
        threading.Thread(target=_wait_for_end, args=(parent,), daemon=True).start()


def _wait_for_end(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _ignore_signals(parent: int | None) -> None:
    if not hasattr(signal, 'sigwaitinfo'):  # macOS and Windows cannot tell who sent a signal
        return
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_sigterm, args=(parent,), daemon=True).start()


def _wait_for_sigterm(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)

"""Random numbers in the worker processes of a data loader."""

import random

import numpy as np
import torch
from mmengine.registry import FUNCTIONS


# Registered at the root: the engine looks such functions up there and in no child registry.
@FUNCTIONS.register_module()
def epoch_worker_init_fn(worker_id: int) -> None:
    """Seed a data-loading worker from the state of the process that started it.

    Use it where ``num_workers`` is above 0 and ``persistent_workers`` is False. MMEngine's own
    function gives the workers the same seed whenever they start, hence in every epoch, so all
    epochs draw the same augmentations. PyTorch hands a worker a seed drawn from the main process;
    this function uses it for every library, and with
    :class:`~ecl.engine.hooks.EpochSeedHook`, which puts itself in charge of the main process and
    of this function, the draws depend on (seed, epoch, rank, worker) alone.

    With ``num_workers=0`` there is nothing to seed. Persistent workers start once, so they are not
    seeded by epoch: epochs then differ, but a resumed training repeats none of them.

    Args:
        worker_id: Number of the worker; PyTorch has mixed it into the seed already.

    Example:
        >>> loader = torch.utils.data.DataLoader(range(4), num_workers=2,
        ...                                      worker_init_fn=epoch_worker_init_fn)
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)

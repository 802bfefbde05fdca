"""Random numbers that depend on the epoch, not on what ran before it."""

import random
from functools import partial

import numpy as np
import torch
from mmengine.dataset import worker_init_fn as engine_worker_init_fn
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ecl.engine.worker_init import epoch_worker_init_fn
from ecl.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed ``random``, NumPy and PyTorch before each epoch from (seed, epoch, rank).

    A training resumed at the start of an epoch then draws the augmentations that it would have
    drawn without the interruption, and successive epochs, and the processes of one training, draw
    different ones. Checkpoints hold no state of the generators, so without this hook a resumed
    training goes another way.

    Two more things stand between a checkpoint and an exact resume, and the hook sees to both:

    - The training data loader's workers are seeded by :func:`~ecl.engine.epoch_worker_init_fn`,
      unless the config names another function. Persistent workers cannot be seeded by epoch; the
      hook says so.
    - The sampler is built before the checkpoint's seed is known; if it was built with the seed of
      the runner, it takes over the checkpoint's.

    Example:
        >>> custom_hooks = [dict(type='EpochSeedHook')]
    """

    # Last, so that no other hook draws numbers between the seeding and the first batch.
    priority = 'LOWEST'

    def before_run(self, runner: Runner) -> None:
        """Keep the seed that the sampler was built with."""
        self._seed_at_start = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Bring sampler and workers of the training data under the seed."""
        loader = runner.train_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        if getattr(sampler, 'seed', None) == self._seed_at_start:
            sampler.seed = runner.seed
        self._seed_workers(loader, runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process for the epoch."""
        entropy = np.random.SeedSequence([runner.seed, runner.epoch, runner.rank])
        for_random, for_numpy, for_torch = entropy.generate_state(3)
        random.seed(int(for_random))
        np.random.seed(for_numpy)
        torch.manual_seed(int(for_torch))

    def _seed_workers(self, loader: DataLoader, runner: Runner) -> None:
        if loader.num_workers == 0:
            return
        function = loader.worker_init_fn
        if isinstance(function, partial) and function.func is engine_worker_init_fn:
            loader.worker_init_fn = epoch_worker_init_fn
        if loader.persistent_workers:
            runner.logger.warning(
                'train_dataloader.persistent_workers=True: augmentations are not seeded by epoch, '
                'so a resumed training differs from an uninterrupted one. Set it to False for an '
                'exact resume.'
            )

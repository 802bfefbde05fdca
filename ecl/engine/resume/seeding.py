"""Seed every step from the training's seed, the rank and the iteration."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch.utils.data import Sampler

from ecl.engine.resume.workers import prepare_workers
from ecl.registry import HOOKS

#: Last number of the entropy of a step of the model. Batches have none, so the two are unrelated.
STEP = 1


def seed_generators(*entropy: int) -> None:
    """Seed ``random``, NumPy and PyTorch.

    Args:
        entropy: Integers of at least 0. Different integers give unrelated states. Trailing zeros
            do not count.
    """
    for_random, for_numpy, for_torch = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(for_random))
    np.random.seed(for_numpy)
    torch.manual_seed(int(for_torch))


@dataclass(frozen=True)
class SeededBatch:
    """Indices of one batch. Iterating over them seeds the process that fetches the batch.

    Args:
        indices: Into the dataset.
        entropy: For :func:`seed_generators`.
    """

    indices: list[int]
    entropy: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        seed_generators(*self.entropy)
        return iter(self.indices)


class SeededBatches(Sampler):
    """Wrap a batch sampler so that each batch carries the seed of its iteration.

    The random numbers of a batch then depend on its iteration only. The number of workers, their
    lifetime and the place of a resume change nothing.

    Args:
        batches: The batch sampler. Its attributes are attributes of this object too.
        seed: Seed of the training.
        rank: Rank of this process.
    """

    def __init__(self, batches: Any, seed: int, rank: int) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = rank
        self.begin(0, 0)

    def begin(self, iteration: int, skipped: int) -> None:
        """Set where the next pass begins.

        Args:
            iteration: Iteration of the first batch, counted over all epochs.
            skipped: Batches of the epoch that are done already.
        """
        self.iteration = iteration
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[SeededBatch]:
        remaining = islice(self.batches, self.skipped, None)
        for iteration, indices in enumerate(remaining, self.iteration):
            yield SeededBatch(indices, (self.seed, self.rank, iteration))

    def __getattr__(self, name: str) -> Any:
        if name == 'batches':  # absent while a copy is being unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed ``random``, NumPy and PyTorch for each batch and each step of the model.

    The seeds follow from the training's seed, the rank and the iteration. A resumed training
    draws the same augmentations and the same dropout as one that was never interrupted. No two
    batches, epochs or ranks draw the same numbers.

    The sampler is built before the seed of a resumed checkpoint is known. If the sampler has the
    seed of the runner, it gets the checkpoint's seed.

    Example:
        >>> default_hooks = dict(step_seed=dict(type='StepSeedHook'))
    """

    # Last, so that no other hook draws numbers between the seeding and the step.
    priority = 'LOWEST'

    def before_run(self, runner: Runner) -> None:
        """Keep the seed that the sampler was built with."""
        self._seed_at_start = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Pass the seed to the sampler and the batches; prepare the workers."""
        loader = runner.train_dataloader
        batches = loader.batch_sampler
        sampler = getattr(batches, 'sampler', None)
        if sampler is not None and getattr(sampler, 'seed', None) == self._seed_at_start:
            sampler.seed = runner.seed
        if not isinstance(batches, SeededBatches):
            seeded = SeededBatches(batches, runner.seed, runner.rank)
            # DataLoader refuses a plain assignment because iterators may exist. None exists here.
            object.__setattr__(loader, 'batch_sampler', seeded)
        prepare_workers(loader)
        if runner.val_loop is not None:
            prepare_workers(runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Prepare the workers of the test."""
        prepare_workers(runner.test_dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the batches where the epoch begins or continues."""
        loader = runner.train_dataloader
        skipped = max(0, runner.iter - runner.epoch * len(loader))
        loader.batch_sampler.begin(runner.iter, skipped)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Seed this process for the step."""
        seed_generators(runner.seed, runner.rank, runner.iter, STEP)

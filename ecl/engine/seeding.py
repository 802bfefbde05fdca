"""Random numbers that follow from seed, process and iteration, and from nothing before them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler


def seed_generators(*entropy: int) -> None:
    """Seed ``random``, NumPy and PyTorch.

    Args:
        entropy: Numbers of at least 0; different ones give unrelated states, zeros at the end
            apart, which do not count.
    """
    for_random, for_numpy, for_torch = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(for_random))
    np.random.seed(for_numpy)
    torch.manual_seed(int(for_torch))


@dataclass(frozen=True)
class SeededBatch:
    """Indices of a batch, which seed the generators of the process that fetches it.

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
    """Batches of another batch sampler, each with the seed of its iteration.

    What a batch draws then depends on its iteration alone: not on the worker that prepares it, how
    many there are or how long they live, and not on where in an epoch the training was resumed.

    Args:
        batches: The batch sampler; its attributes are found here too.
        seed: Seed of the training.
        rank: Number of this process.
    """

    def __init__(self, batches: Any, seed: int, rank: int) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = rank
        self.begin(0, 0)

    def begin(self, iteration: int, skipped: int) -> None:
        """Choose where the next pass begins.

        Args:
            iteration: That of the first batch given, counted over all epochs.
            skipped: Batches of the epoch to leave out, since they have been trained on.
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
        if name == 'batches':  # not there yet while a copy is being unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)

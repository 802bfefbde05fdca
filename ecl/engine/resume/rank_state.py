"""State of each rank: random numbers, and state that is not in the shared weights."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, broadcast, gather_object, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import Sampler

from ecl.engine.resume.processes import prepare_workers
from ecl.registry import HOOKS
from ecl.weights import bare_model


def gather_states(runner: Runner) -> list[dict[str, Any]]:
    """Collect the state of every rank. All ranks must call it.

    Only buffers that differ between ranks are collected. A queue that all ranks share is not.

    Args:
        runner: In training.

    Returns:
        On rank 0 one dict for each rank, else an empty list. Plain data and CPU tensors:

        - ``buffers``: those that differ between the ranks, such as statistics of norm layers.
        - ``gradients``: accumulated and not applied yet.
        - ``hooks``: ``state_dict()`` of the hooks that have one, by class name.
    """
    model = bare_model(runner.model)
    buffers = dict(model.named_buffers())
    own = {
        'buffers': {name: buffers[name].cpu() for name in _differing(buffers)},
        'gradients': {
            name: parameter.grad.cpu()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        },
        'hooks': {type(hook).__name__: hook.state_dict() for hook in _hooks(runner)},
    }
    return gather_object(own) or []


def restore_state(runner: Runner, states: list[dict[str, Any]]) -> None:
    """Restore what :func:`gather_states` collected from this rank.

    Args:
        runner: In training, its model with the weights of the same checkpoint.
        states: One for each rank.
    """
    state = states[runner.rank]
    model = bare_model(runner.model)
    buffers, parameters = dict(model.named_buffers()), dict(model.named_parameters())
    for name, value in state['buffers'].items():
        buffers[name].copy_(value)
    for name, value in state['gradients'].items():
        parameters[name].grad = value.to(parameters[name].device)
    for hook in _hooks(runner):
        if type(hook).__name__ in state['hooks']:
            hook.load_state_dict(state['hooks'][type(hook).__name__])


@HOOKS.register_module()
class SyncNormHook(Hook):
    """Average the running statistics of norm layers over all ranks after each epoch.

    A training that counts iterations may be validated and saved after any of them, so its
    statistics are averaged after each iteration.

    Each rank computes statistics of its own images, and a checkpoint keeps one set. Other buffers,
    such as a queue, are equal on all ranks already. MMEngine's ``SyncBuffersHook`` averages those
    too, which costs memory and can round them.

    The copy of the model that EMAHook keeps has such statistics too, and a checkpoint stores them.

    Example:
        >>> default_hooks = dict(sync_norm=dict(type='SyncNormHook'))
    """

    # Before a checkpoint is saved and before a validation.
    priority = 'NORMAL'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Average the statistics of a training that counts iterations."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self.after_train_epoch(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Average the statistics."""
        if get_world_size() == 1:
            return
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        statistics = [
            statistic
            for model in (bare_model(runner.model), *averages)
            for module in model.modules()
            if isinstance(module, _NormBase)
            for statistic in (module.running_mean, module.running_var)
            if statistic is not None
        ]
        if not statistics:
            return
        flat = torch.cat(statistics)
        all_reduce(flat, 'mean')
        means = flat.split([statistic.numel() for statistic in statistics])
        torch._foreach_copy_(statistics, list(means))


def _differing(buffers: dict[str, Tensor]) -> list[str]:
    """Return the names of the buffers that are not equal on all ranks."""
    if get_world_size() == 1 or not buffers:
        return []
    equal = []
    for buffer in buffers.values():
        first = buffer.clone()
        broadcast(first)
        equal.append(torch.equal(first, buffer))
    everywhere = torch.tensor(equal, dtype=torch.int)
    all_reduce(everywhere, 'min')
    return [name for name, same in zip(buffers, everywhere.tolist(), strict=True) if not same]


def _hooks(runner: Runner) -> list[Any]:
    return [hook for hook in runner.hooks if hasattr(hook, 'load_state_dict')]


#: Last number of the seed entropy of a model step. The entropy of batches has no such number, so
#: steps and batches have unrelated seeds.
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
    if _cpu_alone():  # a hundred times faster: manual_seed keeps a stack trace for CUDA
        torch.default_generator.manual_seed(int(for_torch))
    else:
        torch.manual_seed(int(for_torch))


@cache
def _cpu_alone() -> bool:
    return not torch.accelerator.is_available()


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
    lifetime and the step of a resume have no effect.

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
            skipped: Batches of the epoch that are already done.
        """
        self.iteration = iteration
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[SeededBatch]:
        remaining = islice(self.batches, self.skipped, None)
        # A loop that counts iterations does not report its position in the data.
        first, self.skipped = self.iteration, 0
        for iteration, indices in enumerate(remaining, first):
            self.iteration = iteration + 1
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
        done = max(0, runner.iter - runner.epoch * len(loader))
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        loader.batch_sampler.begin(runner.iter, skipped=done if by_epoch else 0)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Seed this process for the step."""
        seed_generators(runner.seed, runner.rank, runner.iter, STEP)

"""Random numbers that depend on the step, not on what ran before it."""

from functools import partial

from mmengine.dataset import worker_init_fn as engine_worker_init_fn
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ecl.engine.seeding import SeededBatches, seed_generators
from ecl.engine.worker_init import epoch_worker_init_fn
from ecl.registry import HOOKS

# What the model draws in a step is unrelated to what the batch before it drew.
STEP = 1


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed ``random``, NumPy and PyTorch for each batch and each step of the model.

    The seeds follow from the training's seed, the process and the iteration. A resumed training
    then draws the augmentations and the dropout that it would have drawn without the interruption,
    wherever in an epoch it goes on and however many workers load the data, persistent ones
    included; and no two batches, epochs or processes draw the same.

    The sampler is built before a resumed checkpoint's seed is known: if it has the seed that the
    runner was started with, it takes over the checkpoint's.

    Example:
        >>> custom_hooks = [dict(type='StepSeedHook')]
    """

    # Last, so that no other hook draws numbers between the seeding and the step.
    priority = 'LOWEST'

    def before_run(self, runner: Runner) -> None:
        """Keep the seed that the sampler was built with."""
        self._seed_at_start = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Bring the sampler, the batches and the workers under the seed."""
        loader = runner.train_dataloader
        batches = loader.batch_sampler
        sampler = getattr(batches, 'sampler', None)
        if sampler is not None and getattr(sampler, 'seed', None) == self._seed_at_start:
            sampler.seed = runner.seed
        if not isinstance(batches, SeededBatches):
            seeded = SeededBatches(batches, runner.seed, runner.rank)
            # A plain assignment is refused, since an iterator could hold the old one: none is here.
            object.__setattr__(loader, 'batch_sampler', seeded)
        _prepare_workers(loader)
        if runner.val_loop is not None:
            _prepare_workers(runner.val_dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the batches where the epoch begins, or goes on."""
        loader = runner.train_dataloader
        skipped = max(0, runner.iter - runner.epoch * len(loader))
        loader.batch_sampler.begin(runner.iter, skipped)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Seed this process for the step."""
        seed_generators(runner.seed, runner.rank, runner.iter, STEP)


def _prepare_workers(loader: DataLoader) -> None:
    function = loader.worker_init_fn
    if isinstance(function, partial) and function.func is engine_worker_init_fn:
        loader.worker_init_fn = epoch_worker_init_fn

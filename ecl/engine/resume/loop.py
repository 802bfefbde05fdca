"""Training loop that can be stopped and resumed at any step."""

import signal
from collections.abc import Iterable
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ecl.datasets import InMemoryDataset
from ecl.engine.graph import DeviceBatches, GraphedStep, obstacle, own_stream
from ecl.engine.resume.checkpoint_hook import CheckpointHook
from ecl.engine.resume.processes import StopSignals
from ecl.engine.resume.rank_state import SeededBatches
from ecl.errors import UserError
from ecl.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Run MMEngine's loop over epochs so that it can be interrupted.

    - SIGTERM, SIGUSR1, SIGHUP and Ctrl-C end the training after the current step, and
      :class:`~ecl.engine.CheckpointHook` saves it. See
      :class:`~ecl.engine.resume.processes.StopSignals`.
    - A training that is resumed inside an epoch continues with the next batch. This needs
      :class:`~ecl.engine.StepSeedHook`.
    - A validation that was interrupted is run again on resuming.

    :func:`ecl.apis.train` uses it for every configuration with ``train_cfg.by_epoch``.

    Args:
        runner, dataloader, max_epochs, val_begin, val_interval, dynamic_intervals: See
            :class:`mmengine.runner.EpochBasedTrainLoop`.
        graph: Replay the step as a CUDA graph: see :class:`~ecl.engine.graph.GraphedStep`. If that
            is not possible, the log says why and the steps run without a graph.

    Raises:
        UserError: On resuming inside an epoch without StepSeedHook, or if an epoch has no batch.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: list[tuple[int, int]] | None = None,
        graph: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, max_epochs, val_begin, val_interval, dynamic_intervals)
        self.graph = graph
        self._graphed: GraphedStep | None = None
        self._on_device: DeviceBatches | None = None
        if len(self.dataloader) == 0:
            batch = getattr(self.dataloader.batch_sampler, 'batch_size', None)
            images = len(self.dataloader.sampler)
            raise UserError(
                f'train_dataloader.batch_size: got {batch}, expected at most {images}, the images '
                'of an epoch and process, with drop_last=True'
            )

    def run(self) -> nn.Module:
        """Train from the current epoch and iteration to the end."""
        reason = obstacle(self.runner) if self.graph else 'not asked for'
        if reason and self.graph:
            self.runner.logger.warning(f'train_cfg.graph: not used, because {reason}')
        if reason:
            return self._run()
        with own_stream():
            self._graphed = GraphedStep(self.runner)
            return self._run()

    def _run(self) -> nn.Module:
        with StopSignals() as self.stop:
            self.runner.call_hook('before_train')
            if 0 < self._iter == self._epoch * len(self.dataloader):
                self._validate()
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                self._validate()
            self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train the rest of the current epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done and not isinstance(self.dataloader.batch_sampler, SeededBatches):
            raise UserError(
                'the checkpoint was saved inside an epoch. To resume it, set '
                "default_hooks.step_seed=dict(type='StepSeedHook')."
            )
        if done:
            # The value that MMEngine set in the step before the interruption.
            self.runner.message_hub.update_info('iter', self._iter - 1)
        for index, batch in enumerate(self._batches(), done):
            self.run_iter(index, batch)
            if self.stop.agreed():
                self._save()
                self.stop.leave()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self) -> Iterable[Any]:
        """Return the batches of an epoch."""
        if self._graphed is None:
            return self.dataloader
        self._graphed.begin_epoch()
        if self._on_device is None and isinstance(self.dataloader.dataset, InMemoryDataset):
            device = next(self.runner.model.parameters()).device
            sampler = self.dataloader.batch_sampler
            self._on_device = DeviceBatches(self.dataloader.dataset, sampler, device)
        return self._on_device or self.dataloader

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Take a step."""
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        if self._graphed is not None:
            outputs = self._graphed(data_batch)
        else:
            outputs = self.runner.model.train_step(data_batch, self.runner.optim_wrapper)
        self.runner.call_hook(
            'after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

    def validates_after(self, epoch: int) -> bool:
        """Return whether a validation follows the ``epoch``-th epoch, counted from 1."""
        return (
            self.runner.val_loop is not None
            and epoch >= self.val_begin
            and (epoch % self.val_interval == 0 or epoch == self._max_epochs)
        )

    def _validate(self) -> None:
        self._decide_current_val_interval()
        known = self.runner.message_hub.runtime_info
        if self.validates_after(self._epoch) and known.get('epoch_validated') != self._epoch:
            # Before the validation: a checkpoint that holds its metrics must hold this too.
            self.runner.message_hub.update_info('epoch_validated', self._epoch)
            self.runner.val_loop.run()

    def _save(self) -> None:
        name = signal.Signals(self.stop.received).name
        self.runner.logger.warning(
            f'{name}: stopped after step {self._iter}; continue with --resume'
        )
        for hook in self.runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook.save_interim(self.runner, self._epoch, self._iter)

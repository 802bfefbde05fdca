"""The log of scalars, which a full disk must not turn into the end of a training."""

from typing import Any

from mmengine.hooks import LoggerHook as EngineLoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ecl.engine.resume.atomic_file import warn_on_write_error
from ecl.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(EngineLoggerHook):
    """MMEngine's hook of that name; scalars that cannot be written are lost with a warning.

    Args:
        kwargs: Those of :class:`mmengine.hooks.LoggerHook`, such as ``interval``.

    Example:
        >>> default_hooks = dict(logger=dict(type='LoggerHook', interval=50))
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Log a step."""
        with warn_on_write_error(runner.logger, 'scalars of the log'):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Log the metrics of a validation."""
        with warn_on_write_error(runner.logger, 'scalars of the log'):
            super().after_val_epoch(runner, metrics)

    def after_run(self, runner: Runner) -> None:
        """Close the files of the log."""
        with warn_on_write_error(runner.logger, 'scalars of the log'):
            super().after_run(runner)

"""Log scalars, and go on when the log cannot be written."""

from typing import Any

from mmengine.hooks import EarlyStoppingHook as EngineEarlyStoppingHook
from mmengine.hooks import LoggerHook as EngineLoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ecl.engine.resume.atomic_file import warn_on_write_error
from ecl.engine.resume.checkpoint_hook import GREATER_KEYS, LESS_KEYS
from ecl.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(EngineLoggerHook):
    """Log as MMEngine's hook of that name does, but keep training when a scalar cannot be written.

    Args:
        kwargs: Arguments of :class:`mmengine.hooks.LoggerHook`, such as ``interval``.

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


@HOOKS.register_module()
class EarlyStoppingHook(EngineEarlyStoppingHook):
    """Stop as MMEngine's hook of that name does; it knows the metrics of this package.

    ``monitor='shot/overall'``, ``'shot/few'`` and so on need no ``rule``.

    Args:
        kwargs: Arguments of :class:`mmengine.hooks.EarlyStoppingHook`.

    Example:
        >>> custom_hooks = [dict(type='EarlyStoppingHook', monitor='shot/overall', patience=5)]
    """

    _default_greater_keys = [*EngineEarlyStoppingHook._default_greater_keys, *GREATER_KEYS]
    _default_less_keys = [*EngineEarlyStoppingHook._default_less_keys, *LESS_KEYS]

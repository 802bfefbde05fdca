"""Show the progress of a training on the console and in the log."""

import time
from contextlib import ExitStack
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import EarlyStoppingHook as EngineEarlyStoppingHook
from mmengine.hooks import Hook
from mmengine.hooks import LoggerHook as EngineLoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ecl.engine.resume.atomic_file import warn_on_write_error
from ecl.engine.resume.checkpoint_hook import GREATER_KEYS, LESS_KEYS
from ecl.registry import HOOKS, quiet_console

#: Timed steps after the first one.
TIMED = 2
#: Number of values of a scalar in memory and in checkpoints. The log files have all values.
KEPT = 10_000
#: Accuracies on the line of an epoch, by their keys among the metrics.
SHOWN = {'shot/overall': 'accuracy', 'shot/many': 'many', 'shot/few': 'few'}


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Print one line per epoch: epoch, loss, accuracy if it was validated, and time left.

    If a training takes more than half a minute, the hook prints an estimate after the third step.

    While a training or a test runs, the console shows only these lines and warnings. The log file
    keeps all lines.

    Example:
        >>> custom_hooks = [dict(type='ConsoleHook')]
    """

    # After the hooks that compute metrics; before the one that shows the result.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._quiet = ExitStack()
        self._begun: int | None = None  # no training yet
        self._start = self._seconds = self._first_step = 0.0
        self._steps = 0

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._quiet.enter_context(quiet_console(runner.logger))
        self._start, self._begun, self._steps = time.monotonic(), runner.epoch, 0

    def before_test(self, runner: Runner) -> None:
        """Hide the lines of a test."""
        self._quiet.enter_context(quiet_console(runner.logger))

    def after_train(self, runner: Runner) -> None:
        """Show the lines of the log again."""
        self._quiet.close()

    def after_test(self, runner: Runner) -> None:
        """Show the lines of the log again."""
        self._quiet.close()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Print the time of a step and of the training after the third step."""
        if runner.epoch != self._begun:
            return
        self._steps += 1  # a resumed training begins within an epoch
        if self._steps == 1:
            self._first_step = time.monotonic()
        if self._steps != 1 + TIMED:
            return
        seconds = (time.monotonic() - self._first_step) / TIMED
        left = seconds * (runner.max_iters - runner.iter - 1)
        if left > 30:
            self._print(f'{seconds:.2g} s per step   about {duration(left)} in all')

    def after_train_epoch(self, runner: Runner) -> None:
        """Print the line of an epoch that is not validated."""
        done = runner.epoch + 1  # counted after this hook
        self._seconds = (time.monotonic() - self._start) / (done - (self._begun or 0))
        validates_after = getattr(runner.train_loop, 'validates_after', None)
        if validates_after is None or not validates_after(done):
            self._print(self._line(runner, done, {}))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Print the line of an epoch with its validation."""
        if self._begun is not None and runner.epoch > self._begun:
            self._print(self._line(runner, runner.epoch, metrics or {}))

    def _line(self, runner: Runner, epoch: int, metrics: dict[str, Any]) -> str:
        parts = [f'epoch {epoch:>{len(str(runner.max_epochs))}}/{runner.max_epochs}']
        losses = runner.message_hub.log_scalars.get('train/loss')
        if losses is not None:
            parts.append(f'loss {losses.mean(len(runner.train_dataloader)):.4g}')
        parts += [f'{name} {metrics[key]:.1f}' for key, name in SHOWN.items() if key in metrics]
        left = runner.max_epochs - epoch
        if left:
            parts.append(f'{duration(left * self._seconds)} left')
        return '   '.join(parts)

    def _print(self, line: str) -> None:
        if is_main_process():
            print(line, flush=True)


def duration(seconds: float) -> str:
    """Write a time with its two largest units.

    Args:
        seconds: The time, at least 0.

    Example:
        >>> duration(28.4), duration(150), duration(4321)
        ('28 s', '2 min 30 s', '1 h 12 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60} s'
    return f'{whole // 3600} h {whole % 3600 // 60} min'


@HOOKS.register_module()
class LoggerHook(EngineLoggerHook):
    """Log like MMEngine's LoggerHook, with two differences.

    A scalar that cannot be written does not end the training. Only the newest 10,000 values of a
    scalar stay in memory.

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
        """Log a step, and delete old values, which each step would copy."""
        with warn_on_write_error(runner.logger, 'scalars of the log'):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.every_n_inner_iters(batch_idx, self.interval):
            for history in runner.message_hub.log_scalars.values():
                history.max_length = KEPT

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
    """Stop like MMEngine's EarlyStoppingHook, also in a resumed training.

    A checkpoint stores the best score and the number of validations since then.
    ``monitor='shot/overall'``, ``'shot/few'`` and so on need no ``rule``.

    Args:
        kwargs: Arguments of :class:`mmengine.hooks.EarlyStoppingHook`.

    Example:
        >>> custom_hooks = [dict(type='EarlyStoppingHook', monitor='shot/overall', patience=5)]
    """

    # Before the checkpoint hook, which saves again after a validation that improved.
    priority = 'LOW'
    _default_greater_keys = [*EngineEarlyStoppingHook._default_greater_keys, *GREATER_KEYS]
    _default_less_keys = [*EngineEarlyStoppingHook._default_less_keys, *LESS_KEYS]

    def before_train(self, runner: Runner) -> None:
        """Continue from the state of a resumed checkpoint, before its validation is repeated."""
        state = runner.message_hub.get_info(self._key)
        if state is not None:
            self.wait_count, self.best_score = state['wait_count'], state['best_score']
            runner.train_loop.stop_training = state['stopped']

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Decide whether to stop, and keep the state for the checkpoints."""
        super().after_val_epoch(runner, metrics or {})
        state = {
            'wait_count': self.wait_count,
            'best_score': float(self.best_score),
            'stopped': runner.train_loop.stop_training,
        }
        runner.message_hub.update_info(self._key, state)

    @property
    def _key(self) -> str:
        return f'early_stopping/{self.monitor}'

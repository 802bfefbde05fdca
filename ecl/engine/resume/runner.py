"""Runner that reads checkpoints safely and logs the settings of a step."""

import logging
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ecl.checkpoint_file import read_checkpoint
from ecl.engine.hooks.run_record import device_name
from ecl.engine.memory import PRECISIONS
from ecl.errors import UserError
from ecl.registry import quiet_console
from ecl.weights import bare_model, check_weights_fit, fit_weights, unwrap

#: Effect of a missing default hook.
WITHOUT = {
    'class_counts': 'losses, metrics and shot groups get no class counts',
    'step_seed': 'a resumed training is not exact',
    'invalid_loss': 'a loss that is NaN or infinite reaches the weights',
    'run_record': 'results.json is not written',
    'checkpoint': 'nothing is saved and nothing can be resumed',
}
#: Names that MMEngine itself knows as default hooks.
ENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)

#: Norm layers that ``sync_bn`` may replace.
PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
#: Counter of the runners of this process.
_NUMBERS = count()
#: Beginnings of warnings about MMEngine's own code.
_OF_MMENGINE_ALONE = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class RunConfig(Config):
    """Configuration of a run. Its text is formatted again only after a change.

    MMEngine formats the text for the log, the work dir and each checkpoint. One call takes longer
    than an epoch of a small training.
    """

    @classmethod
    def of(cls, cfg: Config) -> 'RunConfig':
        """Return a shallow copy of a configuration."""
        copy = cls.__new__(cls)
        copy.__dict__.update(cfg.__dict__)
        return copy

    @property
    def pretty_text(self) -> str:
        """Text of the configuration, as Python code."""
        content = self.to_dict()
        known = self.__dict__.get('_formatted')
        if known is None or known[0] != content:
            known = self.__dict__['_formatted'] = (content, super().pretty_text)
        return known[1]


# In the root registry, where a train.py of OpenMMLab looks up runner_type.
@RUNNERS.register_module()
class ResumableRunner(Runner):
    """MMEngine's Runner with safe loading of checkpoints.

    - ``resume`` and ``load_from`` read a file by :func:`~ecl.checkpoint_file.read_checkpoint`.
    - A checkpoint to resume must hold exactly the weights of the model.
    - For a checkpoint to start from (``load_from``), the log has the numbers of loaded, missing and
      unexpected weights. See :func:`~ecl.weights.fit_weights`.
    - Environment, configuration and hooks go to the log file and not to the console. One line shows
      the images per step, the learning rate, the device and the precision.
    - If the config sets a default hook of ``WITHOUT`` to None, the log names the hook and the
      effect.

    :func:`ecl.apis.train` and :func:`ecl.apis.test` use it. ``RUNNERS.build(cfg)`` also uses it,
    for a config with ``runner_type='ResumableRunner'``.

    Args:
        args, cfg, kwargs: See :class:`mmengine.runner.Runner`.
    """

    def __init__(
        self, *args: Any, cfg: Config | dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self._read: dict[str, Any] = {}
        cfg = RunConfig.of(cfg) if isinstance(cfg, Config) else cfg
        # MMEngine keeps log, scalars and messages by this name and the second of the start.
        name = f'{kwargs.pop("experiment_name", None) or "training"}_{next(_NUMBERS)}'
        with ExitStack() as self._building:
            super().__init__(*args, cfg=cfg, experiment_name=name, **kwargs)
        self.logger.info(f'Environment, configuration and hooks: see the log in {self._log_dir}')

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; until the runner is built, the console shows warnings only."""
        logger = super().build_logger(*args, **kwargs)
        # MMEngine itself opens a FileClient for each checkpoint.
        logger.addFilter(lambda record: not record.getMessage().startswith(_OF_MMENGINE_ALONE))
        self._building.enter_context(quiet_console(logger))
        return logger

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict[str, Any],
        seed: int | None = None,
        diff_rank_seed: bool = False,
    ) -> DataLoader:
        """Build a data loader; with a GPU, its batches are in pinned memory."""
        if isinstance(dataloader, dict) and torch.cuda.is_available():
            dataloader = {'pin_memory': True, **dataloader}
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register the default hooks, without those that are None."""
        hooks = hooks or {}
        for name, hook in hooks.items():
            if hook is None and name in WITHOUT:
                self.logger.warning(f'default_hooks.{name} is None: {WITHOUT[name]}')
        super().register_default_hooks(
            {k: v for k, v in hooks.items() if v is not None or k in ENGINE_HOOKS}
        )

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate as MMEngine does, by the images of a whole step."""
        accumulated = getattr(optim_wrapper, '_accumulative_counts', 1)
        if auto_scale_lr and accumulated > 1:
            base = auto_scale_lr['base_batch_size'] / accumulated
            auto_scale_lr = {**auto_scale_lr, 'base_batch_size': base}
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def build_model(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Build the model."""
        with self._named('model'):
            return super().build_model(*args, **kwargs)

    def build_optim_wrapper(self, *args: Any, **kwargs: Any) -> OptimWrapper:
        """Build the optimizer. The line for each parameter goes only to the log file."""
        with self._named('optim_wrapper'), quiet_console(self.logger):
            return super().build_optim_wrapper(*args, **kwargs)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes.

        Raises:
            UserError: If ``sync_bn`` would change the network: MMEngine replaces every norm layer
                by a plain one, and those of timm contain the activation.
        """
        if self.distributed and self.cfg.get('sync_bn'):
            for module in model.modules():
                if isinstance(module, _BatchNorm) and type(module) not in PLAIN_NORMS:
                    raise UserError(
                        f'sync_bn: got {self.cfg.sync_bn!r}, expected None: it would replace '
                        f'{type(module).__name__}, which is more than a norm layer'
                    )
        return super().wrap_model(model_wrapper_cfg, model)

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Turn an invalid value, an unknown name or a missing package into a line with its key.

        The log file keeps the traceback.
        """
        try:
            yield
        except (UserError, torch.OutOfMemoryError):
            raise
        except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
            with quiet_console(self.logger):
                self.logger.info(traceback.format_exc())
            reason = ' '.join(str(error).split())
            raise UserError(f'{key} cannot be built: {reason}') from error

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        """Build an evaluator whose metrics exchange results of the processes in the work dir.

        MMEngine's default is the current folder, which may differ between machines.
        """
        evaluator = super().build_evaluator(evaluator)
        for metric in evaluator.metrics:
            self._exchange_in_work_dir(metric)
        return evaluator

    def add_test_metric(self, metric: BaseMetric) -> None:
        """Evaluate another metric on the test data."""
        self._exchange_in_work_dir(metric)
        self.test_evaluator.metrics.append(metric)

    def _exchange_in_work_dir(self, metric: BaseMetric) -> None:
        if metric.collect_dir is None:
            metric.collect_dir = os.path.join(self._log_dir, 'collected')

    def load_or_resume(self) -> None:
        """Log the settings of a step, then load or resume."""
        if isinstance(self._train_loop, BaseLoop):
            self.logger.info(_describe_step(self))
        super().load_or_resume()

    def preload(self, path: str | Path, checkpoint: Any) -> None:
        """Pass a checkpoint that was already read. The runner frees it after loading.

        Args:
            path: Its file, as in ``load_from``.
            checkpoint: Its content.

        Raises:
            UserError: If it does not hold exactly the weights of the model.
        """
        check_weights_fit(checkpoint, self.model, path)
        self._read[str(path)] = checkpoint

    def close(self) -> None:
        """Close the log file, so that many runs fit into a process."""
        for handler in self.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: list[tuple[str, str]] = [(r'^module.', '')],  # noqa: B006
    ) -> dict[str, Any]:
        """Load a checkpoint into the model.

        Args:
            filename: See :func:`~ecl.checkpoint_file.read_checkpoint`.
            map_location: Not used. Tensors are read onto the CPU and copied to the device.
            strict: Raise an error if the checkpoint does not hold exactly the weights of the model.
            revise_keys: Pairs (pattern, replacement) for the names of the weights.

        Returns:
            The checkpoint, its weights under ``state_dict`` with their names in the model.

        Raises:
            UserError: If the checkpoint cannot be read or does not fit.
        """
        content = self._read.pop(str(filename), None)
        if content is None:
            content = read_checkpoint(filename)
        weights = unwrap(content)
        for pattern, replacement in revise_keys:
            weights = {re.sub(pattern, replacement, key): value for key, value in weights.items()}
        model = bare_model(self.model)
        if self._resume or strict:
            check_weights_fit({'state_dict': weights}, model, filename)
        else:
            fit = fit_weights(model, weights, filename)
            self.logger.log(logging.INFO if fit.complete else logging.WARNING, f'{filename}: {fit}')
            weights = fit.matching
        rest = content if isinstance(content.get('meta'), dict) else {'meta': {}}
        checkpoint = {**rest, 'state_dict': weights}
        # A hook may replace the weights, as EMAHook does.
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model.load_state_dict(checkpoint['state_dict'], strict=False)
        self._has_loaded = True
        return checkpoint


def _describe_step(runner: Runner) -> str:
    """Return images per step, learning rate, device and precision of a training."""
    batch = getattr(runner.train_dataloader.batch_sampler, 'batch_size', None)
    accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    parts = [f'{runner.world_size} process{"es" if runner.world_size > 1 else ""} x {batch} images']
    parts += [f'{accumulated} iterations'] if accumulated > 1 else []
    images = '' if batch is None else f'{runner.world_size * batch * accumulated} '
    rates = next(iter(runner.optim_wrapper.get_lr().values()))
    device = next(runner.model.parameters()).device
    name = device_name(device)
    name += f', {torch.get_num_threads()} threads' if device.type == 'cpu' else ''
    precision = PRECISIONS.get(type(runner.optim_wrapper).__name__, 'float32')
    return (
        f'Step: {images}images ({" x ".join(parts)}), learning rate {rates[0]:g}, {name}, '
        f'{precision}'
    )

"""Runner that reads checkpoints without running code in them, and reads them once."""

import logging
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner

from ecl.checkpoint_file import read_checkpoint
from ecl.weights import bare_model, check_weights_fit, fit_weights, unwrap

#: What is lost without a default hook.
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
PRECISIONS = {'Bfloat16OptimWrapper': 'bfloat16', 'AmpOptimWrapper': 'mixed precision'}


# In the root registry, where a train.py of OpenMMLab looks up runner_type.
@RUNNERS.register_module()
class ResumableRunner(Runner):
    """MMEngine's Runner with safe loading of checkpoints.

    - ``resume`` and ``load_from`` read a file by :func:`~ecl.checkpoint_file.read_checkpoint`.
    - A checkpoint to resume must hold exactly the weights of the model.
    - Of a checkpoint to start from (``load_from``), the log says how many weights were loaded, are
      missing and are unexpected. See :func:`~ecl.weights.fit_weights`.
    - Environment, configuration and hooks go to the log file and not to the console. A training
      says in one line how many images a step has, the learning rate, the device and the precision.
    - A default hook of ``WITHOUT`` that the config sets to None is named with what is lost.

    :func:`ecl.apis.train` and :func:`ecl.apis.test` use it. So does ``RUNNERS.build(cfg)`` for a
    config with ``runner_type='ResumableRunner'``.

    Args:
        args, kwargs: See :class:`mmengine.runner.Runner`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._read: dict[str, Any] = {}
        self._consoles: list[tuple[logging.Handler, int]] = []
        try:
            super().__init__(*args, **kwargs)
        finally:
            for handler, level in self._consoles:
                handler.setLevel(level)
        self.logger.info(f'Environment, configuration and hooks: see the log in {self._log_dir}')

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; until the runner is built, the console shows warnings only."""
        logger = super().build_logger(*args, **kwargs)
        self._consoles = [
            (handler, handler.level)
            for handler in logger.handlers
            if not isinstance(handler, logging.FileHandler)
        ]
        for handler, level in self._consoles:
            handler.setLevel(max(level, logging.WARNING))
        return logger

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

    def load_or_resume(self) -> None:
        """Say what a step of the training is, then load or resume."""
        if isinstance(self._train_loop, BaseLoop):
            self.logger.info(_describe_step(self))
        super().load_or_resume()

    def preload(self, path: str | Path, checkpoint: Any) -> None:
        """Hand over a checkpoint that was read already. The runner frees it after loading.

        Args:
            path: Its file, as in ``load_from``.
            checkpoint: Its content.

        Raises:
            UserError: If it does not hold exactly the weights of the model.
        """
        check_weights_fit(checkpoint, self.model, path)
        self._read[str(path)] = checkpoint

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
            strict: Refuse a checkpoint that does not hold exactly the weights of the model.
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
        # A hook may exchange the weights, as EMAHook does.
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model.load_state_dict(checkpoint['state_dict'], strict=False)
        self._has_loaded = True
        return checkpoint


def _describe_step(runner: Runner) -> str:
    """Return images a step, learning rate, device and precision of a training."""
    batch = getattr(runner.train_dataloader.batch_sampler, 'batch_size', None)
    accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    parts = [f'{runner.world_size} process{"es" if runner.world_size > 1 else ""} x {batch} images']
    parts += [f'{accumulated} iterations'] if accumulated > 1 else []
    images = '' if batch is None else f'{runner.world_size * batch * accumulated} '
    rates = next(iter(runner.optim_wrapper.get_lr().values()))
    on_gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if on_gpu else f'CPU, {torch.get_num_threads()} threads'
    precision = PRECISIONS.get(type(runner.optim_wrapper).__name__, 'float32')
    return (
        f'Step: {images}images ({" x ".join(parts)}), learning rate {rates[0]:g}, {device}, '
        f'{precision}'
    )

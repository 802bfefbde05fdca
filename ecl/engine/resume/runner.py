"""Runner that reads checkpoints without running code in them, and reads them once."""

import logging
import re
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from ecl.checkpoint_file import read_checkpoint
from ecl.registry import RUNNERS
from ecl.weights import bare_model, check_weights_fit, fit_weights, unwrap


@RUNNERS.register_module()
class ResumableRunner(Runner):
    """MMEngine's Runner with safe loading of checkpoints.

    - ``resume`` and ``load_from`` read a file by :func:`~ecl.checkpoint_file.read_checkpoint`.
    - A checkpoint to resume must hold exactly the weights of the model.
    - Of a checkpoint to start from (``load_from``), the log says how many weights were loaded, are
      missing and are unexpected. See :func:`~ecl.weights.fit_weights`.

    :func:`ecl.apis.train` and :func:`ecl.apis.test` use it. So does ``RUNNERS.build(cfg)`` for a
    config with ``runner_type='ResumableRunner'``.

    Args:
        args, kwargs: See :class:`mmengine.runner.Runner`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._read: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

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

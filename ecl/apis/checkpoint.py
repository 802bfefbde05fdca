"""Checkpoints: loaded without running code in them, compared with the model before use."""

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn

from ecl.checkpoint_file import load_from_file
from ecl.engine.hooks.checkpoint import kept_checkpoints
from ecl.errors import UserError


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint file onto the CPU; see :func:`~ecl.checkpoint_file.load_from_file`.

    Args:
        path: A file that a training wrote.

    Returns:
        The checkpoint, with the weights under ``state_dict``.

    Raises:
        UserError: If the file is missing, damaged, no checkpoint, or asks to run code.
    """
    checkpoint = load_from_file(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict'), Mapping):
        raise UserError(f'{path} is not a checkpoint: it holds no state_dict')
    return checkpoint


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """The last checkpoint of a work dir that is whole.

    One that is missing or damaged is named on the standard error output, and the one before it
    taken.

    Args:
        work_dir: Folder of a training, which may have been moved since.

    Returns:
        Its path, None without any.
    """
    for name in kept_checkpoints(work_dir):
        path = os.path.join(work_dir, name)
        try:
            load_checkpoint(path)
        except UserError as error:
            print(f'warning: {error}; looking for the one before it', file=sys.stderr)
        else:
            return path
    return None


def check_weights_fit(checkpoint: Mapping[str, Any], model: nn.Module, path: str | Path) -> None:
    """Make sure that a checkpoint holds exactly the weights of a model.

    Args:
        checkpoint: What :func:`load_checkpoint` returned.
        model: The model, in a distributed wrapper or not.
        path: File of the checkpoint, for the message.

    Raises:
        UserError: With the first parameter that differs.
    """
    own = (model.get_submodule('module') if is_model_wrapper(model) else model).state_dict()
    saved = checkpoint['state_dict']
    for key in own:
        if key not in saved:
            raise UserError(f'{path} is a checkpoint of another model: it has no {key}')
        if saved[key].shape != own[key].shape:
            raise UserError(
                f'{path} is a checkpoint of another model: {key} is {tuple(saved[key].shape)} '
                f'there and {tuple(own[key].shape)} in the configuration'
            )
    for key in saved:
        if key not in own:
            raise UserError(
                f'{path} is a checkpoint of another model: the configuration has no {key}'
            )


def check_schedule_fits(
    checkpoint: Mapping[str, Any], max_epochs: int | None, path: str | Path
) -> None:
    """Refuse to resume a training with another number of epochs than it was begun with.

    The schedule of the learning rate comes back from the checkpoint with its old end, so the added
    epochs would run at the learning rate the schedule ended on, often zero.

    Args:
        checkpoint: What :func:`load_checkpoint` returned.
        max_epochs: Epochs of the configuration, None if it counts iterations.
        path: File of the checkpoint, for the message.

    Raises:
        UserError: If the numbers differ and there is a schedule.
    """
    before = _max_epochs(checkpoint.get('meta', {}).get('cfg') or '')
    scheduled = checkpoint.get('param_schedulers')
    if scheduled and before is not None and max_epochs is not None and before != max_epochs:
        raise UserError(
            f'cannot resume {path} with max_epochs {max_epochs}: it was begun with {before}, and '
            f'its learning-rate schedule ends there; keep {before}, or start a new training from '
            f'its weights with --cfg-options load_from={path}'
        )


def _max_epochs(config_text: str) -> int | None:
    """``train_cfg.max_epochs`` in the text of a configuration, read without running it."""
    for node in ast.walk(ast.parse(config_text)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'train_cfg':
            for keyword in getattr(node.value, 'keywords', ()):
                if keyword.arg == 'max_epochs':
                    return ast.literal_eval(keyword.value)
    return None

"""Checkpoints: loaded without running code in them, compared with the model before use."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from torch import nn

from ecl.apis.config_text import parse_config
from ecl.checkpoint_file import load_from_file
from ecl.engine.resume.checkpoint_hook import kept_checkpoints
from ecl.errors import UserError

#: What a checkpoint must hold to be resumed, beside weights.
_STATE = {
    'meta': Mapping,
    'meta.epoch': int,
    'meta.iter': int,
    'optimizer': Mapping,
    'message_hub': Mapping,
}
#: Settings that a checkpoint overrules when it is resumed, or that its schedules follow from.
_BEGUN_WITH = (
    'train_cfg.max_epochs',
    'train_cfg.max_iters',
    'optim_wrapper.optimizer',
    'optim_wrapper.paramwise_cfg',
    'param_scheduler',
)


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


def check_resumable(checkpoint: Mapping[str, Any], cfg: Config, path: str | Path) -> None:
    """Refuse to resume what holds no training, or with settings that resuming would pass over.

    Optimizer and schedules come back from the checkpoint as they were begun, whatever the
    configuration says by now; and a schedule comes with its old end, so added epochs would run at
    the learning rate it ended on, often zero.

    Args:
        checkpoint: What :func:`load_checkpoint` returned.
        cfg: The configuration to go on with.
        path: File of the checkpoint, for the message.

    Raises:
        UserError: With what is missing, or the first setting that differs from that of the
            configuration in the checkpoint.
    """
    anew = f'start a new training from its weights with --cfg-options load_from={path}'
    absent = [key for key in _STATE if not isinstance(_at(checkpoint, key), _STATE[key])]
    if absent:
        raise UserError(
            f'cannot resume {path}: it holds weights but no training to go on with ({absent[0]} is '
            f'missing); {anew}'
        )
    text = checkpoint['meta'].get('cfg')
    try:
        begun = parse_config(text, str(path)).to_dict() if isinstance(text, str) else {}
    except UserError:  # not plain values, so nothing can be told
        return
    now = cfg.to_dict()
    for key in _BEGUN_WITH if begun else ():
        # Without a schedule a training may be prolonged.
        if key.startswith('train_cfg') and not checkpoint.get('param_schedulers'):
            continue
        difference = _difference(_at(begun, key), _at(now, key), key)
        if difference:
            name, was, is_now = difference
            raise UserError(
                f'cannot resume {path}: {name} was {was!r} and is now {is_now!r}, but optimizer '
                f'and schedules go on as they were begun; keep {was!r}, or {anew}'
            )


def _at(node: Any, key: str) -> Any:
    """What stands under a dotted key, None if nothing does."""
    for part in key.split('.'):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _difference(one: Any, other: Any, key: str) -> tuple[str, Any, Any] | None:
    """The first dotted key under which two values differ, and the values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        parts = (_difference(one.get(k), other.get(k), f'{key}.{k}') for k in {**one, **other})
        return next(filter(None, parts), None)
    return None if one == other else (key, one, other)

"""Find the checkpoint to resume, and check that it can be resumed."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ecl.apis.config_text import parse_config
from ecl.checkpoint_file import load_checkpoint
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
#: Settings that a resumed training takes from the checkpoint.
_FIXED = (
    'train_cfg.max_epochs',
    'train_cfg.max_iters',
    'optim_wrapper.optimizer',
    'optim_wrapper.paramwise_cfg',
    'param_scheduler',
    'default_hooks.second_stage',
)


def load_latest(work_dir: str | Path) -> tuple[str, dict[str, Any]] | None:
    """Load the latest checkpoint of a work dir that is not damaged.

    One that is missing or damaged is reported on standard error, and the one before it is tried.

    Args:
        work_dir: Folder of a training, which may have been moved since.

    Returns:
        Path and content of the checkpoint. None if there is none.
    """
    for name in kept_checkpoints(work_dir):
        path = os.path.join(work_dir, name)
        try:
            return path, load_checkpoint(path)
        except UserError as error:
            print(f'warning: {error}; trying the one before it', file=sys.stderr)
    return None


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the path of :func:`load_latest`."""
    found = load_latest(work_dir)
    return found and found[0]


def check_resumable(checkpoint: Mapping[str, Any], cfg: Config, path: str | Path) -> None:
    """Check that a checkpoint can be resumed with a configuration.

    Optimizer and learning rate schedule come from the checkpoint, whatever the configuration says.
    A schedule keeps its old end, so epochs that were added would run at its last learning rate.

    Args:
        checkpoint: What :func:`~ecl.checkpoint_file.load_checkpoint` returned.
        cfg: The configuration to resume with.
        path: File of the checkpoint, for the error.

    Raises:
        UserError: With what is missing, or the first setting that differs from the configuration
            in the checkpoint.
    """
    anew = f'start a new training from its weights with --cfg-options load_from={path}'
    absent = [key for key in _STATE if not isinstance(_at(checkpoint, key), _STATE[key])]
    if absent:
        raise UserError(
            f'cannot resume {path}: it holds weights but no training state ({absent[0]} is '
            f'missing); {anew}'
        )
    text = checkpoint['meta'].get('cfg')
    try:
        begun = parse_config(text, str(path)).to_dict() if isinstance(text, str) else {}
    except UserError:  # not plain values, so there is nothing to compare
        return
    now = cfg.to_dict()
    for key in _FIXED if begun else ():
        # Without a schedule the number of epochs may change.
        if key.startswith('train_cfg') and not checkpoint.get('param_schedulers'):
            continue
        difference = _difference(_at(begun, key), _at(now, key), key)
        if difference:
            name, was, is_now = difference
            raise UserError(
                f'cannot resume {path}: {name} was {was!r} and is now {is_now!r}, but optimizer '
                f'and schedule come from the checkpoint; keep {was!r}, or {anew}'
            )


def _at(node: Any, key: str) -> Any:
    """Return the value under a dotted key, or None."""
    for part in key.split('.'):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _difference(one: Any, other: Any, key: str) -> tuple[str, Any, Any] | None:
    """Return the first dotted key under which two values differ, with both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        parts = (_difference(one.get(k), other.get(k), f'{key}.{k}') for k in {**one, **other})
        return next(filter(None, parts), None)
    return None if one == other else (key, one, other)

"""Find, check and read checkpoints without running code in them."""

import ast
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load
from mmengine.utils import import_modules_from_strings

from ecl.apis.config_check import registered_objects, value_at, walk
from ecl.checkpoint_file import load_checkpoint, trusts_checkpoints
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.methods.adjustment import ADJUSTED
from ecl.engine.resume.checkpoint_hook import kept_checkpoints
from ecl.errors import UserError

#: Keys that a checkpoint must have to be resumed, in addition to the weights.
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
#: Names of numbers in the text of a configuration.
_NUMBERS = {'inf': math.inf, 'nan': math.nan}
#: Scopes of registries that a type may have.
_SCOPES = ('', 'ecl', 'mmpretrain', 'mmengine', 'mmcv')


def load_latest(work_dir: str | Path) -> tuple[str, dict[str, Any]] | None:
    """Load the latest undamaged checkpoint of a work dir.

    If a checkpoint is missing or damaged, a warning goes to standard error, and the previous one is
    tried.

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


def final_checkpoint(work_dir: str | Path) -> str | None:
    """Return the path of the model that the record of a training describes.

    That is ``adjusted.pth`` if the training adjusted its classifiers, else the latest checkpoint.

    Args:
        work_dir: Folder of a training.

    Returns:
        The path, or None if there is no checkpoint.
    """
    adjusted, record = Path(work_dir, ADJUSTED), Path(work_dir, RECORD)
    if adjusted.is_file() and record.is_file() and 'adjustment' in load(record):
        return str(adjusted)
    return latest_checkpoint(work_dir)


def find_checkpoint(source: str | Path) -> str:
    """Return the checkpoint that a user names.

    Args:
        source: A checkpoint, or the work dir of a training, which means
            :func:`final_checkpoint`.

    Raises:
        UserError: If it is a folder without a checkpoint.
    """
    if not Path(source).is_dir():
        return str(source)
    found = final_checkpoint(source)
    if found is None:
        raise UserError(f'{source} holds no checkpoint: give the work dir of a training')
    return found


def check_resumable(checkpoint: Mapping[str, Any], cfg: Config, path: str | Path) -> None:
    """Check that a checkpoint can be resumed with a configuration.

    The optimizer and the learning rate schedule always come from the checkpoint, not from the
    configuration. The schedule keeps its old end, so additional epochs would run at its last
    learning rate.

    Args:
        checkpoint: What :func:`~ecl.checkpoint_file.load_checkpoint` returned.
        cfg: The configuration to resume with.
        path: File of the checkpoint, for the error.

    Raises:
        UserError: If something is missing in the checkpoint, or a setting differs from the
            configuration in the checkpoint. The message names it.
    """
    anew = f'start a new training from its weights with --cfg-options load_from={path}'
    absent = [key for key in _STATE if not isinstance(value_at(checkpoint, key), _STATE[key])]
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
        difference = _difference(value_at(begun, key), value_at(now, key), key)
        if difference:
            name, was, is_now = difference
            raise UserError(
                f'cannot resume {path}: {name} was {was!r} and is now {is_now!r}, but optimizer '
                f'and schedule come from the checkpoint; keep {was!r}, or {anew}'
            )


def _difference(one: Any, other: Any, key: str) -> tuple[str, Any, Any] | None:
    """Return the first dotted key under which two values differ, with both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        parts = (_difference(one.get(k), other.get(k), f'{key}.{k}') for k in {**one, **other})
        return next(filter(None, parts), None)
    return None if one == other else (key, one, other)


def parse_config(text: str, source: str) -> Config:
    """Read the text of a configuration as MMEngine writes it: names, ``=``, plain values.

    Args:
        text: Assignments of numbers, strings, lists, tuples and dicts.
        source: Its file name, for error messages.

    Returns:
        The configuration.

    Raises:
        UserError: If the text contains anything else.

    Example:
        >>> parse_config('a = dict(b=[1, -2.5], c=None)', 'x.pth').a.b
        [1, -2.5]
    """
    try:
        return Config(dict(map(_assignment, ast.parse(text).body)))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f'{source}: the configuration in it is more than plain values') from error


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, _value(value)
    raise ValueError(ast.unparse(statement))


def _value(node: ast.expr | None) -> Any:
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=args, keywords=keywords):
            positional = [_value(arg) for arg in args]
            if any(keyword.arg is None for keyword in keywords):
                raise ValueError('**')
            named = {str(keyword.arg): _value(keyword.value) for keyword in keywords}
            return dict(*positional, **named)
        case ast.Dict(keys=keys, values=values):
            return dict(zip(map(_value, keys), map(_value, values), strict=True))
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Name(id=name) if name in _NUMBERS:
            return _NUMBERS[name]
        case None:
            raise ValueError('**')
    return ast.literal_eval(node)


def restrict_types(
    parts: Mapping[str, Any], imports: Mapping[str, Any] | None, source: str
) -> None:
    """Restrict parts of a configuration from a checkpoint to registered classes.

    A type can also be a path, such as ``subprocess.run``, that the engine would import and call.
    The path of a registered class is replaced by its name. Any other path is an error, unless the
    checkpoint is trusted (:func:`~ecl.checkpoint_file.trust_checkpoints`): then it is imported.

    Args:
        parts: Parts of a configuration, changed in place.
        imports: Its ``custom_imports``.
        source: Its file name, for error messages.

    Raises:
        UserError: For the first type that is not registered.
    """
    if trusts_checkpoints():
        if imports:
            import_modules_from_strings(**imports)
        return
    registered_objects.cache_clear()  # a module may have registered more since
    for path, node in walk(parts):
        kind = node.get('type')
        if kind is None:
            continue
        scope, _, name = str(kind).rpartition('.')
        if name not in registered_objects():
            raise UserError(
                f'{source}: {path}.type {kind!r} is not registered; import the module that '
                'registers it first or, if you trust the file, add --trust-checkpoint (in Python: '
                'with trust_checkpoints())'
            )
        if scope not in _SCOPES:
            node['type'] = name


def read_config(content: dict[str, Any], source: str | Path) -> Config:
    """Read the configuration in a checkpoint, safe to build a model and pipelines from.

    Args:
        content: Result of :func:`~ecl.checkpoint_file.load_checkpoint`.
        source: File of the checkpoint, for error messages.

    Raises:
        UserError: If it holds no configuration, or one without model or test data, or with types
            that are not registered.
    """
    text = content.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise UserError(f'{source} holds no configuration: it was not written by a training')
    cfg = parse_config(text, str(source))
    for key in ('model', 'test_dataloader'):
        if not isinstance(cfg.get(key), dict):
            raise UserError(f'{source}: the configuration in it has no {key}')
    loaders = ('val_dataloader', 'test_dataloader')
    used = ('model', 'data_preprocessor', *loaders, 'tta_pipeline', 'tta_model')
    parts = {key: cfg[key] for key in used if cfg.get(key)}
    restrict_types(parts, cfg.get('custom_imports'), str(source))
    return cfg

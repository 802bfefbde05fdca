"""Read a configuration file the way the tools do: options merged, defaults filled in, checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

from ecl.apis.config_check import (
    check_config,
    nearest,
    reads_keys,
    registered_objects,
    top_level_keys,
    walk,
)
from ecl.errors import UserError
from ecl.settings import SettingError, Whole

#: Seconds for which the workers of a data loader may give no batch.
WORKER_TIMEOUT = 300
LOG_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
#: Wrappers of the optimizer that ``amp`` may replace: plain precision, or mixed already.
_REPLACEABLE = ('OptimWrapper', 'AmpOptimWrapper', 'Bfloat16OptimWrapper')


def load_config(
    path: str | Path,
    work_dir: str | Path | None = None,
    seed: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Config:
    """Load a configuration file, merge options into it and check every name in the result.

    Args:
        path: A configuration file.
        work_dir: Folder of logs and checkpoints. By default the file's own ``work_dir``, else
            ``work_dirs/<file name>``.
        seed: Random seed. By default the file's own, else 0, so that a run can be repeated.
        cfg_options: Values by dotted key, such as ``{'train_cfg.max_epochs': 2}``; a number in the
            key is an index into a list.

    Returns:
        The configuration, ready for a Runner.

    Raises:
        UserError: If the file is missing or cannot be read, or a name in it does not exist.

    Example:
        >>> cfg = load_config('configs/ecl/ecl_r8_digits-lt.py', seed=1)  # doctest: +SKIP
        >>> cfg.work_dir  # doctest: +SKIP
        'work_dirs/ecl_r8_digits-lt'
    """
    source = str(path)
    if not Path(path).is_file():
        raise UserError(f'configuration file {source} does not exist')
    try:
        cfg = Config.fromfile(source)
        registered_objects.cache_clear()  # its custom_imports may have registered more
        # In a file with plain imports, those that fail do so when their names are looked at.
        tuple(walk(cfg))
    except (
        OSError,
        SyntaxError,
        NameError,
        KeyError,
        TypeError,
        ImportError,
        ConfigParsingError,
    ) as error:
        raise UserError(f'{source} cannot be read: {" ".join(str(error).split())}') from error
    options = dict(cfg_options or {})
    for key in options:
        _check_option(cfg, key, source)
    if 'train_dataloader.batch_size' in options:  # a number for each process, as in MMEngine
        options.setdefault('images_per_step', None)
    try:
        cfg.merge_from_dict(options)
    except (TypeError, KeyError, IndexError) as error:
        raise UserError(f'{source}, --cfg-options: {" ".join(str(error).split())}') from error
    if work_dir is not None or cfg.get('work_dir') is None:
        cfg.work_dir = str(work_dir or Path('work_dirs') / Path(path).stem)
    cfg.setdefault('randomness', {})
    if seed is not None or cfg.randomness.get('seed') is None:
        cfg.randomness.seed = seed or 0
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and level not in LOG_LEVELS:
        raise UserError(f'{source}: log_level must be {" or ".join(LOG_LEVELS)}')
    check_config(cfg, source)
    _check_whole(source, 'randomness', 0, seed=cfg.randomness.seed)
    _check_loaders(cfg, source)
    return cfg


def _check_whole(source: str, owner: str, least: int, **setting: Any) -> None:
    needed = Whole(at_least=least, at_most=2**32 - 1)
    for name, value in setting.items():
        if not needed.admits(value):
            raise UserError(f'{source}: {SettingError(owner, name, value, str(needed))}')


def _check_loaders(cfg: Config, source: str) -> None:
    """Check the numbers of the data loaders, and give those with workers a timeout.

    PyTorch would wait for a worker that hangs for ever.
    """
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        _check_whole(source, name, 1, batch_size=loader.get('batch_size', 1))
        _check_whole(source, name, 0, num_workers=loader.get('num_workers', 0))
        if loader.get('num_workers'):
            loader.setdefault('timeout', WORKER_TIMEOUT)
        elif loader.get('timeout'):
            raise UserError(f'{source}: {name}.timeout needs {name}.num_workers of at least 1')


def use_mixed_precision(cfg: Config, source: str) -> None:
    """Train in bfloat16 where it is safe, on a CPU as on a GPU; ``cfg`` is changed in place.

    Args:
        cfg: A training configuration.
        source: What to call it in the message: its file name.

    Raises:
        UserError: If the configuration has no optimizer wrapper that this could replace.
    """
    wrapper = cfg.get('optim_wrapper')
    kind = wrapper and wrapper.get('type', 'OptimWrapper')
    if kind not in _REPLACEABLE:
        raise UserError(f'{source}: mixed precision cannot replace an optim_wrapper of type {kind}')
    wrapper.type = 'Bfloat16OptimWrapper'
    for key in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(key, None)


def _check_option(cfg: Config, key: str, source: str) -> None:
    """Raise UserError unless the dotted ``key`` leads somewhere that is read."""
    top, *parts = key.split('.')
    if top not in top_level_keys():
        # A variable of the file is spent: say where its value went.
        same = [f'{path}.{top}' for path, node in walk(cfg) if path and top in node]
        near = f'; did you mean {same[0]!r}?' if same else nearest(top, top_level_keys())
        raise UserError(
            f'{source}: option {key}: nothing reads {top!r} once the file is loaded{near}'
        )
    node, path = cfg.get(top, {}), top
    for part in parts:
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        # A new key; whether its owner accepts it is the concern of check_config.
        elif isinstance(node, Mapping) and (
            part is parts[-1] or reads_keys(path, node) or not node
        ):
            return
        else:
            known = node if isinstance(node, Mapping) else ()
            raise UserError(f'{source}: option {key}: {path} has no {part!r}{nearest(part, known)}')
        path = f'{path}.{part}'

"""Load a configuration: merge options, fill in defaults and check every name."""

import copy
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE, ConfigParsingError

import ecl
from ecl.apis.config_check import (
    check_config,
    nearest,
    registered_objects,
    top_level_keys,
    walk,
)
from ecl.errors import UserError
from ecl.registry import type_name
from ecl.settings import Number, Whole

#: A configuration file, the name of one that comes with the package, or its content.
ConfigLike: TypeAlias = str | Path | Config | Mapping[str, Any]
#: Name in messages of a configuration without a file.
UNNAMED = 'config'
#: Seconds to wait for a batch of a data worker.
WORKER_TIMEOUT = 300
#: Optimizer wrappers that ``amp`` may replace: full precision, or already mixed.
_REPLACEABLE = ('OptimWrapper', 'AmpOptimWrapper', 'Bfloat16OptimWrapper')


def load_config(
    config: ConfigLike,
    work_dir: str | Path | None = None,
    seed: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Config:
    """Load a configuration, merge options into it and check every name in the result.

    Args:
        config: A file; the name of a configuration that comes with the package, such as
            ``'ecl_r8_digits-lt'``; or its content, which is not changed.
        work_dir: Folder of logs and checkpoints. Default: the configuration's own ``work_dir``,
            else ``work_dirs/<file name>``; none for a configuration without a file name.
        seed: Random seed. Default: the configuration's own, else 0.
        cfg_options: Values by dotted key, such as ``{'train_cfg.max_epochs': 2}``; a number in the
            key is an index into a list.

    Returns:
        The configuration, ready for a Runner.

    Raises:
        UserError: If the file is missing or cannot be read, a name in it does not exist, or a
            number is out of range.

    Example:
        >>> cfg = load_config('ecl_r8_digits-lt', seed=1)
        >>> cfg.work_dir
        'work_dirs/ecl_r8_digits-lt'
    """
    source = config_name(config)
    if isinstance(config, str | Path):
        cfg = read_config_file(config)
    else:
        content = copy.deepcopy(config)
        cfg = content if isinstance(content, Config) else Config(dict(content))
    options = dict(cfg_options or {})
    if cfg.get('images_per_step') and not cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr = dict(base_batch_size=cfg.images_per_step, enable=False)
    if 'train_dataloader.batch_size' in options:  # a number for each process, as in MMEngine
        options.setdefault('images_per_step', None)
    merge_options(cfg, options, source)
    for _, node in walk(cfg):
        node.pop('_delete_', None)  # MMEngine leaves it where there was nothing to delete
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None and source != UNNAMED:
        cfg.work_dir = str(Path('work_dirs') / Path(source).stem)
    cfg.setdefault('default_scope', 'ecl')
    cfg.setdefault('randomness', {})
    if seed is not None or cfg.randomness.get('seed') is None:
        cfg.randomness.seed = seed or 0
    check_config(cfg, source)
    _check_numbers(cfg, source)
    return cfg


def merge_options(cfg: Config, options: Mapping[str, Any], source: str) -> None:
    """Merge values by dotted key into a configuration, in place.

    Raises:
        UserError: If a key does not exist.
    """
    for key in options:
        _check_option(cfg, key, source)
    try:
        cfg.merge_from_dict(dict(options))
    except (TypeError, KeyError, IndexError) as error:
        raise UserError(f'{source}, --cfg-options: {error.args[0]}') from error


def config_name(config: ConfigLike) -> str:
    """Return the name of a configuration for messages: its file, else 'config'."""
    if isinstance(config, str | Path):
        return str(config)
    return str(getattr(config, 'filename', None) or UNNAMED)


def check_work_dir(cfg: Config, source: str) -> None:
    """Check that a configuration has a work dir; without a file name it may have none.

    Raises:
        UserError: If it has none.
    """
    if cfg.get('work_dir') is None:
        raise UserError(f'{source}: got no work_dir and no file name. Give work_dir.')


def find_config(config: str | Path) -> Path:
    """Return the file of a configuration.

    Args:
        config: A file, or the name of a configuration that comes with the package.

    Raises:
        UserError: If there is no such file. The message suggests the nearest name.
    """
    path = Path(config)
    if path.is_file():
        return path
    known = {file.stem: file for file in shipped_configs()}
    if path.name == str(config) and path.name.removesuffix('.py') in known:
        return known[path.name.removesuffix('.py')]
    near = nearest(path.name.removesuffix('.py'), known)
    raise UserError(f'configuration file {config} does not exist{near}')


def configs_root() -> Path:
    """Return the folder of the configurations: in the installed package, else in the clone."""
    packaged = _packaged_configs()
    return packaged.resolve() if packaged.is_dir() else Path(ecl.__file__).parents[1] / 'configs'


def _packaged_configs() -> Path:
    """Return the folder where MMEngine looks up ``_base_ = 'ecl::...'``; in a clone, a link."""
    return Path(ecl.__file__).parent / '.mim' / 'configs'


def shipped_configs() -> list[Path]:
    """Return the configuration files that come with the package, without their bases, sorted."""
    return sorted(configs_root().glob('[!_]*/*.py'))


def read_config_file(config: str | Path) -> Config:
    """Read a configuration as it is, without checks of its names; see :func:`load_config`.

    Raises:
        UserError: If the file is missing or cannot be read.
    """
    path = find_config(config)
    MODULE2PACKAGE.setdefault('ecl', 'ecl')  # for _base_ = 'ecl::ecl/ecl_r8_digits-lt.py'
    try:
        cfg = Config.fromfile(path)
        registered_objects.cache_clear()  # its custom_imports may have registered more
        # In a file with plain imports, a failing import raises when its names are read.
        for _, node in walk(cfg):
            if node.get('_scope_') == 'ecl':  # of such a base; ecl is the default scope
                node.pop('_scope_')
    except (
        AssertionError,
        OSError,
        SyntaxError,
        NameError,
        KeyError,
        TypeError,
        ValueError,
        ImportError,
        ConfigParsingError,
    ) as error:
        raise UserError(f'{config} cannot be read: {_reason(error)}') from error
    return cfg


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, in one line."""
    text = ' '.join(str(error).split())
    if isinstance(error, FileNotFoundError):
        quoted = re.search(r'file "(.+)" does not exist', text)
        missing = Path(error.filename or (quoted[1] if quoted else text))
        if missing.suffix in ('.py', '.json', '.yaml', '.yml'):
            root = configs_root()
            known = {file.name: f'ecl::{file.relative_to(root)}' for file in root.rglob('*.py')}
            near = get_close_matches(missing.name, known, n=1)
            return f'_base_ {missing} does not exist' + (
                f'; did you mean {known[near[0]]!r}?' if near else ''
            )
    # On Windows, Git may write a link as a text file.
    if isinstance(error, TypeError) and _packaged_configs().is_file():
        return (
            f"_base_ = 'ecl::...': got the text file {_packaged_configs()}, expected a symbolic "
            "link. In the clone, run 'git config core.symlinks true' and 'git checkout ecl/.mim' "
            "(on Windows, in developer mode), or install it with 'pip install .', without -e."
        )
    # MMEngine's text on a module of custom_imports names neither the module nor its error.
    failed = error.__cause__
    reason = failed and failed.__context__
    if isinstance(error, ImportError) and isinstance(reason, ImportError):
        module = str(failed).rpartition(' ')[2]
        text = f'custom_imports: {module}: {reason}'
        if reason.name and f'{module}.'.startswith(f'{reason.name}.'):
            text += '; add its folder to PYTHONPATH'
    return text


def _check_numbers(cfg: Config, source: str) -> None:
    """Check the seed, the epochs, the data loaders and the optimizer; set a worker timeout.

    Without a timeout, PyTorch waits forever for a worker that hangs.
    """
    numbers = [('randomness.seed', cfg.randomness.seed, 0)]
    loop = cfg.get('train_cfg') or {}
    for key in {'max_epochs', 'val_begin', 'val_interval'} & loop.keys():
        numbers.append((f'train_cfg.{key}', loop[key], 1))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        workers = loader.get('num_workers', 0)
        numbers.append((f'{name}.batch_size', loader.get('batch_size', 1), 1))
        numbers.append((f'{name}.num_workers', workers, 0))
        if workers:
            loader.setdefault('timeout', WORKER_TIMEOUT)
            continue
        loader.pop('persistent_workers', None)  # nothing that could persist
        if loader.get('timeout'):
            raise UserError(f'{source}: {name}.timeout needs {name}.num_workers of at least 1')
    for key, value, least in numbers:
        allowed = Whole(at_least=least, at_most=2**32 - 1)
        if not allowed.admits(value):
            raise UserError(f'{source}: {key}: got {value!r}, expected {allowed}.')
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    for key in ('lr', 'weight_decay', 'momentum'):
        number = Number(at_least=0)
        if key in optimizer and not number.admits(optimizer[key]):
            full = f'optim_wrapper.optimizer.{key}'
            raise UserError(f'{source}: {full}: got {optimizer[key]!r}, expected {number}.')


def use_mixed_precision(cfg: Config, source: str) -> None:
    """Train in bfloat16 where it is safe, on a CPU as on a GPU; ``cfg`` is changed in place.

    Args:
        cfg: A training configuration.
        source: Its file name, for error messages.

    Raises:
        UserError: If the configuration has no optimizer wrapper that this can replace.
    """
    wrapper = cfg.get('optim_wrapper')
    kind = wrapper and (type_name(wrapper) or 'OptimWrapper')
    if kind not in _REPLACEABLE:
        raise UserError(f'{source}: mixed precision cannot replace an optim_wrapper of type {kind}')
    wrapper.type = 'Bfloat16OptimWrapper'
    for key in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(key, None)


def use_resumable_loop(cfg: Config) -> None:
    """Train by epochs in a loop that can be interrupted; ``cfg`` is changed in place.

    If ``train_cfg`` has a ``type``, it is kept. An inherited ``by_epoch`` is then removed, because
    MMEngine does not accept both. A ``train_cfg`` with ``by_epoch=False`` is not changed.

    Args:
        cfg: A training configuration.
    """
    loop = cfg.train_cfg
    if loop.get('type') is not None:
        loop.pop('by_epoch', None)
    elif loop.get('by_epoch', True):
        loop.pop('by_epoch', None)
        loop.type = 'ResumableTrainLoop'


def _check_option(cfg: Config, key: str, source: str) -> None:
    """Raise UserError unless the first part of a dotted key is a known key.

    :func:`~ecl.apis.config_check.check_config` checks the other parts after merging.
    """
    top = key.partition('.')[0]
    if top in top_level_keys():
        return
    # A variable of the file has no effect any more: name the key that got its value.
    same = [f'{path}.{top}' for path, node in walk(cfg) if path and top in node]
    near = f'; did you mean {same[0]!r}?' if same else nearest(top, top_level_keys())
    raise UserError(f'{source}: option {key}: unknown key {top!r}{near}')

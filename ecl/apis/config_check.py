"""Spelling check of a configuration, before anything is built from it.

The engine accepts a misspelt top-level key silently, and a misspelt nested one too where it was
meant to replace a key of a base file; a misspelt type fails deep inside a registry. Here each is
an error that names the file, the key and the nearest name that exists.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

import mmengine.registry
import mmpretrain.registry
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from mmengine.utils import get_object_from_string
from mmpretrain.models.utils import ClsDataPreprocessor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

import ecl.registry
from ecl.apis.signature import Accepted, accepted_keys
from ecl.errors import UserError

#: Top-level keys that are read from the configuration beside the arguments of Runner.
_MORE_TOP_KEYS = {
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'images_per_step',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
}
#: The keys of dicts that the engine reads one by one, and whether there may be others.
_READ_KEY_BY_KEY = {
    'env_cfg': ('cudnn_benchmark mp_cfg dist_cfg resource_limit', False),
    'env_cfg.mp_cfg': ('mp_start_method opencv_num_threads', False),
    'env_cfg.dist_cfg': ('backend timeout init_backend', True),
    'auto_scale_lr': ('base_batch_size enable', False),
    'model.train_cfg': ('augments probs', True),
    'optim_wrapper.paramwise_cfg': (
        'custom_keys bypass_duplicate bias_lr_mult bias_decay_mult norm_decay_mult flat_decay_mult '
        'dwconv_decay_mult dcn_offset_lr_mult',
        True,
    ),
}
#: Dicts whose ``type`` is no registered name, by the key that holds them.
_FOREIGN = {'on_trace_ready', 'targets'}


def check_config(cfg: Config, source: str) -> None:
    """Check the names in a configuration: top-level keys, registered types and their arguments.

    A top-level name that resembles none of the engine's is a variable of the file and passes. So
    does every key of a class that hands its keyword arguments on to something unknown.

    Args:
        cfg: The configuration after merging bases and command-line options.
        source: What to call it in the message: its file name.

    Raises:
        UserError: For the first name that does not exist, with the nearest one that does.
    """
    known = top_level_keys()
    for key in cfg:
        near = nearest(key, known, cutoff=0.85)
        if key not in known and near and not key.startswith('_'):
            raise UserError(f'{source}: nothing reads the key {key!r}{near}')
    for path, node in walk(cfg):
        target = _target(path, node, source)
        if target:
            _check_arguments(path, node, target, source)


@cache
def top_level_keys() -> frozenset[str]:
    """The top-level names of a configuration that mean something to the engine."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return frozenset(arguments | _MORE_TOP_KEYS)


def walk(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Go through the dicts of a configuration.

    Args:
        node: A configuration or a part of one.
        path: Dotted path of ``node``.

    Yields:
        The dotted path of every dict, items of lists numbered, and the dict.
    """
    if isinstance(node, Mapping | Config):
        yield path, node
        children: Iterable = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        if key not in _FOREIGN:
            yield from walk(child, f'{path}.{key}' if path else str(key))


def reads_keys(path: str, node: Mapping) -> bool:
    """Whether it is known what is built from a dict of a configuration, and so which keys it has.

    Args:
        path: Its dotted path.
        node: The dict.
    """
    return 'type' in node or bool(_untyped(path, node))


def _target(path: str, node: Mapping, source: str) -> list[Callable | Accepted]:
    """What may be built from ``node``: every object registered under its type, or the default."""
    kind = node.get('type')
    if path.endswith('.clip_grad'):
        return [clip_grad_value_ if kind == 'value' else clip_grad_norm_]
    if kind is None:
        return _untyped(path, node)
    if not isinstance(kind, str):
        return [kind] if callable(kind) else []
    name = kind.rpartition('.')[2]
    found = registered_objects().get(kind) or registered_objects().get(name)
    if found:
        return list(found)
    if '.' in kind and (imported := get_object_from_string(kind)):
        return [imported]
    near = nearest(name, registered_objects())
    raise UserError(f'{source}: {path}.type {kind!r} is not registered{near}')


def _untyped(path: str, node: Mapping) -> list[Callable | Accepted]:
    """The class behind a dict that the engine builds without a ``type``."""
    if path.endswith('_dataloader'):
        return [DataLoader]
    if path == 'train_cfg':
        return [EpochBasedTrainLoop if node.get('by_epoch', True) else IterBasedTrainLoop]
    defaults: dict[str, Callable] = {
        'val_cfg': ValLoop,
        'test_cfg': TestLoop,
        'optim_wrapper': OptimWrapper,
        'log_processor': LogProcessor,
        'randomness': Runner.set_randomness,
        'data_preprocessor': ClsDataPreprocessor,
        'model.data_preprocessor': ClsDataPreprocessor,
    }
    if path in _READ_KEY_BY_KEY:
        words, any_other = _READ_KEY_BY_KEY[path]
        return [Accepted(frozenset(words.split()), any_other)]
    return [defaults[path]] if node and path in defaults else []


@cache
def registered_objects() -> dict[str, list[Callable]]:
    """Name -> what is registered under it in any registry within reach of scope ecl."""
    found: dict[str, list[Callable]] = {}
    for module in (ecl.registry, mmpretrain.registry, mmengine.registry):
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                registry.import_from_location()
                for name, target in registry.module_dict.items():
                    found.setdefault(name, []).append(target)
    return found


def _check_arguments(
    path: str, node: Mapping, targets: list[Callable | Accepted], source: str
) -> None:
    given = set(node) - {'type', '_scope_'}
    accepted = [t if isinstance(t, Accepted) else accepted_keys(t) for t in targets]
    wrong = [sorted(_wrong(given, keys)) for keys in accepted]
    if not all(wrong):
        return
    best = min(range(len(targets)), key=lambda i: len(wrong[i]))
    key, known = wrong[best][0], accepted[best].names
    name = getattr(targets[best], '__name__', str(targets[best]))
    owner = f'an argument of {name}' if 'type' in node else f'a key of {path}'
    near = nearest(key, known) or f'; there are {", ".join(sorted(known))}'
    raise UserError(f'{source}: {path}.{key} is not {owner}{near}')


def _wrong(given: set[str], accepted: Accepted) -> set[str]:
    unknown = given - accepted.names
    if accepted.any_other:  # then only what all but repeats a known name is suspect
        return {key for key in unknown if nearest(key, accepted.names, cutoff=0.9)}
    return unknown


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of an error message: what a misspelt name may have meant.

    Args:
        name: The name that does not exist.
        known: Names that do.
        cutoff: Least similarity, in (0, 1].

    Returns:
        ``"; did you mean 'X'?"`` for the closest known name, or an empty string.
    """
    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f'; did you mean {close[0]!r}?' if close else ''

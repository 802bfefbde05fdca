"""Check the names in a configuration before anything is built from it.

MMEngine ignores a misspelt top-level key, and a misspelt type fails deep inside a registry. This
module raises an error that names the file, the key and the nearest existing name.
"""

import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

import mmengine.registry
import mmpretrain.registry
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, OptimWrapper, _ParamScheduler
from mmengine.registry import Registry
from mmengine.runner import (
    BaseLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from mmengine.utils import get_object_from_string
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

import ecl.registry
from ecl.engine.resume.loop import ResumableTrainLoop
from ecl.errors import UserError
from ecl.models import ECLClassifier, MultiViewDataPreprocessor

#: Top-level keys that MMEngine reads in addition to the arguments of Runner.
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
#: Keys of dicts that MMEngine reads one by one, and whether others are accepted.
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
#: Dicts whose ``type`` is not a registered name, by the key that holds them.
_FOREIGN = {'on_trace_ready', 'targets'}

#: Keys that a builder takes out of the dict before the class sees it.
_BUILDER_KEYS: dict[type, set[str]] = {
    BaseOptimWrapper: {'constructor', 'paramwise_cfg'},
    BaseTransform: {'magnitude_key'},
    BaseLoop: {'by_epoch'},
    DataLoader: {'num_batch_per_epoch', 'disable_subprocess_warning'},
    Hook: {'priority'},
    _ParamScheduler: {'convert_to_iter_based'},
    nn.Module: {'requires_grad'},
}


class Accepted(NamedTuple):
    """Names of keyword arguments, and whether any other is accepted too."""

    names: frozenset[str]
    any_other: bool


@cache
def accepted_keys(target: Callable) -> Accepted:
    """Return the keyword arguments of a class or function.

    A constructor with ``**kwargs`` accepts the arguments of its parents, and may accept others.

    Args:
        target: A class or a function.
    """
    if not inspect.isclass(target):
        return Accepted(*_parameters(target))
    names = {
        key for base, more in _BUILDER_KEYS.items() if issubclass(target, base) for key in more
    }
    any_other = False
    for cls in target.__mro__[:-1]:
        if '__init__' in vars(cls):
            own, open_ended = _parameters(vars(cls)['__init__'])
            names |= own
            if not open_ended:
                break
            any_other = True
    return Accepted(frozenset(names), any_other)


def _parameters(function: Callable) -> tuple[frozenset[str], bool]:
    """Return the named parameters, and whether there are ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset(), True
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = frozenset(p.name for p in parameters if p.kind in named and p.name != 'self')
    return names, any(p.kind == p.VAR_KEYWORD for p in parameters)


def check_config(cfg: Config, source: str) -> None:
    """Check the names in a configuration: top-level keys, registered types and their arguments.

    A top-level name that is not similar to a name of MMEngine is a variable of the file and is
    accepted. A class with ``**kwargs`` accepts every key that is not similar to a known key.

    Args:
        cfg: The configuration after merging bases and command-line options.
        source: Its file name, for error messages.

    Raises:
        UserError: For the first name that does not exist. The message suggests the nearest existing
            name.
    """
    known = top_level_keys()
    for key in cfg:
        near = nearest(key, known, cutoff=0.85)
        if key not in known and near and not key.startswith('_'):
            raise UserError(f'{source}: unknown key {key!r}{near}')
    for path, node in walk(cfg, skip=_FOREIGN):
        target = _target(path, node, cfg, source)
        if target:
            _check_arguments(path, node, target, source)


@cache
def top_level_keys() -> frozenset[str]:
    """Return the top-level keys of a configuration that MMEngine reads."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return frozenset(arguments | _MORE_TOP_KEYS)


def walk(node: Any, path: str = '', skip: Container[str] = ()) -> Iterator[tuple[str, Any]]:
    """Iterate over the dicts of a configuration.

    Args:
        node: A configuration or a part of one.
        path: Dotted path of ``node``.
        skip: Keys to pass over.

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
        if key not in skip:
            yield from walk(child, f'{path}.{key}' if path else str(key), skip)


def value_at(node: Any, key: str) -> Any:
    """Return the value under a dotted key of a configuration, or None."""
    for part in key.split('.'):
        node = node.get(part) if isinstance(node, Mapping | Config) else None
    return node


def _target(path: str, node: Mapping, cfg: Config, source: str) -> list[Callable | Accepted]:
    """Return the objects registered under the type of ``node``, or those built without one."""
    kind = node.get('type')
    if path.endswith('.clip_grad'):
        return [clip_grad_value_ if kind == 'value' else clip_grad_norm_]
    if kind is None:
        return _untyped(path, node, cfg, source)
    if not isinstance(kind, str):
        return [kind] if callable(kind) else []
    name = kind.rpartition('.')[2]
    found = registered_objects().get(kind) or registered_objects().get(name)
    if found:
        return list(found)
    if '.' in kind and (imported := get_object_from_string(kind)):
        return [imported]
    near = nearest(name, registered_objects()) or '.'
    raise UserError(
        f'{source}: {path}.type {kind!r} is not registered{near} Register your own class with '
        '@MODELS.register_module(), or the decorator of its registry, and add its module to '
        'custom_imports.'
    )


def _untyped(path: str, node: Mapping, cfg: Config, source: str) -> list[Callable | Accepted]:
    """Return the class that MMEngine or the model builds from a dict without a ``type``."""
    if path.endswith('_dataloader'):
        return [DataLoader]
    if path == 'train_cfg':
        return [ResumableTrainLoop if node.get('by_epoch', True) else IterBasedTrainLoop]
    if path in ('data_preprocessor', 'model.data_preprocessor'):
        return [_preprocessor(cfg, source)] if node else []
    defaults: dict[str, Callable] = {
        'val_cfg': ValLoop,
        'test_cfg': TestLoop,
        'optim_wrapper': OptimWrapper,
        'log_processor': LogProcessor,
        'randomness': Runner.set_randomness,
    }
    if path in _READ_KEY_BY_KEY:
        words, any_other = _READ_KEY_BY_KEY[path]
        return [Accepted(frozenset(words.split()), any_other)]
    return [defaults[path]] if node and path in defaults else []


def _preprocessor(cfg: Config, source: str) -> type:
    """Return the data preprocessor that the model builds from a dict without a ``type``."""
    models = _target('model', cfg.get('model') or {}, cfg, source)
    several = any(inspect.isclass(model) and issubclass(model, ECLClassifier) for model in models)
    return MultiViewDataPreprocessor if several else ClsDataPreprocessor


@cache
def registered_objects() -> dict[str, list[Callable]]:
    """Return the objects by registered name, of all registries that scope ecl reaches."""
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
    if accepted.any_other:  # then only a key close to a known name is an error
        return {key for key in unknown if nearest(key, accepted.names, cutoff=0.85)}
    return unknown


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of an error message: the known name closest to a misspelt one.

    Args:
        name: The name that does not exist.
        known: Names that do.
        cutoff: Least similarity, in (0, 1].

    Returns:
        ``"; did you mean 'X'?"`` for the closest known name, or an empty string.
    """
    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f'; did you mean {close[0]!r}?' if close else ''

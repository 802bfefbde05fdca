"""Which keys the dict of a configuration may hold, read off what is built from it."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

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
    """The keyword arguments of something: by name, and whether it takes any others too."""

    names: frozenset[str]
    any_other: bool


@cache
def accepted_keys(target: Callable) -> Accepted:
    """The keyword arguments of a class or function.

    A class that hands ``**kwargs`` to its parent's constructor, and does nothing else with them,
    accepts its parent's arguments; one that does something else may accept any.

    Args:
        target: A class or a function.
    """
    if not inspect.isclass(target):
        names, variable = _parameters(target)
        return Accepted(names, variable is not None)
    keys = {
        key for base, extra in _BUILDER_KEYS.items() if issubclass(target, base) for key in extra
    }
    for cls in target.__mro__:
        if '__init__' not in vars(cls) or cls is object:
            continue
        constructor = vars(cls)['__init__']
        names, variable = _parameters(constructor)
        keys |= names
        if not variable:
            return Accepted(frozenset(keys), False)
        if not _only_handed_up(constructor, variable):
            return Accepted(frozenset(keys), True)
    return Accepted(frozenset(keys), False)


def _parameters(function: Callable) -> tuple[frozenset[str], str | None]:
    """Named parameters, and the name of the ``**`` parameter if there is one."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset(), 'unknown'
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind in named and p.name != 'self']
    variable = [p.name for p in parameters if p.kind == p.VAR_KEYWORD]
    return frozenset(names), variable[0] if variable else None


def _only_handed_up(function: Callable, variable: str) -> bool:
    """Whether ``**variable`` goes to a parent's ``__init__``, and is at most looked into before."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    nodes = list(ast.walk(tree))
    uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == variable]
    looked_into = [n.value for n in nodes if isinstance(n, ast.Attribute) and n.attr == 'get']
    handed_up = [
        node
        for call in nodes
        if isinstance(call, ast.Call) and getattr(call.func, 'attr', '') == '__init__'
        for keyword in call.keywords
        if keyword.arg is None
        for node in ast.walk(keyword.value)  # within ``**{'more': 1, **variable}`` too
    ]
    return any(use in handed_up for use in uses) and all(
        use in handed_up or use in looked_into for use in uses
    )

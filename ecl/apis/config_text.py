"""Read the configuration in a checkpoint without running code in it."""

import ast
import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ecl.apis.config_check import registered_objects, walk
from ecl.checkpoint_file import trusts_checkpoints
from ecl.errors import UserError

_NUMBERS = {'inf': math.inf, 'nan': math.nan}
_SCOPES = ('', 'ecl', 'mmpretrain', 'mmengine', 'mmcv')


def parse_config(text: str, source: str) -> Config:
    """Read the text of a configuration as MMEngine writes it: names, ``=``, plain values.

    Args:
        text: Assignments of numbers, strings, lists, tuples and dicts.
        source: Its file name, for error messages.

    Returns:
        The configuration.

    Raises:
        UserError: If there is anything else in the text.

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

    A type may also be a path, such as ``subprocess.run``, that the engine would import and call.
    Of a path to a registered class its name is kept; any other is refused, unless the checkpoint is
    trusted (:func:`~ecl.checkpoint_file.trust_checkpoints`): then what it asks for is imported.

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
                'registers it first or, if you trust the file, add --trust-checkpoint'
            )
        if scope not in _SCOPES:
            node['type'] = name

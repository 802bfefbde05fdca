"""Checks of constructors' arguments: one wording, and an error that can be traced to its key."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

from ecl.errors import UserError


class SettingError(UserError):
    """An argument of a constructor that is out of range.

    The tools look its key up in the configuration; see :func:`ecl.apis.faults.explain_faults`.

    Args:
        owner: What is being constructed.
        name: The argument.
        value: What was given.
        needed: What is needed, such as 'a number above 0'.
    """

    def __init__(self, owner: object, name: str, value: Any, needed: str) -> None:
        self.owner, self.name, self.value = type(owner).__name__, name, value
        self.fault = f'must be {needed}, not {value!r}'
        super().__init__(f'{self.owner}.{name} {self.fault}')


def check_numbers(
    owner: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    **settings: Any,
) -> None:
    """Make sure that arguments are finite numbers within bounds.

    Args:
        owner: What is being constructed.
        above, at_least, below, at_most: The bounds.
        **settings: The arguments.

    Raises:
        SettingError: For the first that is not.

    Example:
        >>> check_numbers(object(), above=0, temperature=0.0)
        Traceback (most recent call last):
        ecl.settings.SettingError: object.temperature must be a number above 0, not 0.0
    """
    for name, value in settings.items():
        good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if not (good and _within(value, above, at_least, below, at_most)):
            needed = 'a number' + _bounds(above, at_least, below, at_most)
            raise SettingError(owner, name, value, needed)


def check_whole(
    owner: object, *, at_least: int | None = None, at_most: int | None = None, **settings: Any
) -> None:
    """Make sure that arguments are whole numbers within bounds.

    Args:
        owner: What is being constructed.
        at_least, at_most: The bounds.
        **settings: The arguments.

    Raises:
        SettingError: For the first that is not.
    """
    for name, value in settings.items():
        good = isinstance(value, Integral) and not isinstance(value, bool)
        if not (good and _within(value, None, at_least, None, at_most)):
            needed = 'a whole number' + _bounds(None, at_least, None, at_most)
            raise SettingError(owner, name, value, needed)


def check_range(
    owner: object, *, above: float | None = None, at_most: float | None = None, **settings: Any
) -> None:
    """Make sure that arguments are ranges: two numbers within bounds, the lower one first.

    Args:
        owner: What is being constructed.
        above, at_most: The bounds.
        **settings: The arguments.

    Raises:
        SettingError: For the first that is not.
    """
    for name, value in settings.items():
        try:
            low, high = value
            check_numbers(owner, above=above, at_most=at_most, low=low, high=high)
            good = low <= high
        except (TypeError, ValueError):  # of which SettingError is one
            good = False
        if not good:
            bounds = _bounds(above, None, None, at_most)
            raise SettingError(owner, name, value, f'(low, high), each a number{bounds}')


def check_choice(owner: object, choices: Collection[Any], **settings: Any) -> None:
    """Make sure that arguments are among the choices.

    Args:
        owner: What is being constructed.
        choices: What may be given.
        **settings: The arguments.

    Raises:
        SettingError: For the first that is not.
    """
    for name, value in settings.items():
        if value not in tuple(choices):
            raise SettingError(owner, name, value, ' or '.join(map(repr, choices)))


def _within(
    value: Any,
    above: float | None,
    at_least: float | None,
    below: float | None,
    at_most: float | None,
) -> bool:
    return (
        (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )


def _bounds(
    above: float | None, at_least: float | None, below: float | None, at_most: float | None
) -> str:
    bounds = (('above', above), ('of at least', at_least), ('below', below), ('at most', at_most))
    words = [f'{word} {bound}' for word, bound in bounds if bound is not None]
    return f' {" and ".join(words)}' if words else ''

"""Constraints on the arguments of constructors and functions, declared once and checked on a call.

As in scikit-learn's ``validate_params``, each argument takes one line.

Example:
    >>> class Loss:
    ...     @validate_params(tau=Number(), temperature=Number(above=0))
    ...     def __init__(self, tau: float = 1.0, temperature: float = 1.0) -> None:
    ...         self.tau, self.temperature = tau, temperature
    >>> Loss(temperature=0.0)
    Traceback (most recent call last):
    ecl.settings.SettingError: Loss.temperature: got 0.0, expected a number above 0.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol, TypeVar

from ecl.errors import UserError

Function = TypeVar('Function', bound=Callable[..., Any])


class SettingError(UserError):
    """An argument out of range: ``Owner.name: got X, expected Y.``

    The tools look its key up in the configuration; see :func:`ecl.apis.faults.explain_faults`.

    Args:
        owner: The object that is constructed, or the name of what owns the argument.
        name: The argument.
        value: What was given.
        needed: What is expected, such as 'a number above 0'.

    Attributes:
        fault: The message without owner and name.
    """

    def __init__(self, owner: object, name: str, value: Any, needed: str) -> None:
        self.owner = owner if isinstance(owner, str) else type(owner).__name__
        self.name, self.value = name, value
        self.fault = f'got {value!r}, expected {needed}.'
        super().__init__(f'{self.owner}.{name}: {self.fault}')


class Constraint(Protocol):
    """Constraint on an argument; its text completes 'expected ...'."""

    def admits(self, value: Any) -> bool:
        """Return whether a value is allowed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Number:
    """A finite number within bounds.

    Args:
        above, at_least: Lower bound, excluded or included.
        below, at_most: Upper bound, excluded or included.
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def admits(self, value: Any) -> bool:
        """Return whether a value is a finite number within the bounds; a bool is not."""
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        number = float(value)
        return (
            (self.above is None or number > self.above)
            and (self.at_least is None or number >= self.at_least)
            and (self.below is None or number < self.below)
            and (self.at_most is None or number <= self.at_most)
        )

    @property
    def bounds(self) -> str:
        """The bounds in words, with a leading space; empty without bounds."""
        words = {
            'above': self.above,
            'of at least': self.at_least,
            'below': self.below,
            'at most': self.at_most,
        }
        said = [f'{word} {bound}' for word, bound in words.items() if bound is not None]
        return f' {" and ".join(said)}' if said else ''

    def __str__(self) -> str:
        return f'a number{self.bounds}'


@dataclass(frozen=True, kw_only=True)
class Whole(Number):
    """A whole number within bounds; the arguments are those of :class:`Number`."""

    def admits(self, value: Any) -> bool:
        """Return whether a value is a whole number within the bounds."""
        return isinstance(value, Integral) and super().admits(value)

    def __str__(self) -> str:
        return f'a whole number{self.bounds}'


@dataclass(frozen=True, kw_only=True)
class Range(Number):
    """A pair ``(low, high)`` of numbers within bounds, ``low`` at most ``high``.

    The arguments are those of :class:`Number`.
    """

    def admits(self, value: Any) -> bool:
        """Return whether a value is such a pair."""
        try:
            low, high = value
        except (TypeError, ValueError):
            return False
        return super().admits(low) and super().admits(high) and bool(low <= high)

    def __str__(self) -> str:
        return f'(low, high) with low <= high, each a number{self.bounds}'


class OneOf:
    """One of some values.

    Args:
        *choices: The values.
    """

    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    def admits(self, value: Any) -> bool:
        """Return whether a value is among the choices."""
        return value in self.choices

    def __str__(self) -> str:
        return ' or '.join(map(repr, self.choices))


class Each:
    """A sequence of one or more values that each fulfil a constraint.

    Args:
        constraint: The constraint of a value.
    """

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint

    def admits(self, value: Any) -> bool:
        """Return whether a value is such a sequence."""
        return (
            isinstance(value, Sequence) and bool(value) and all(map(self.constraint.admits, value))
        )

    def __str__(self) -> str:
        return f'one or more, each {self.constraint}'


def validate_params(**constraints: Constraint) -> Callable[[Function], Function]:
    """Decorate a constructor or function so that a call checks its arguments.

    An argument that is left out or is its default is not checked, so None may be a default.

    Args:
        **constraints: The constraint of each argument, by its name.

    Returns:
        The decorator. The decorated function has the constraints as attribute ``constraints``; a
        call raises a :class:`SettingError` for the first argument that violates its constraint.

    Raises:
        TypeError: While decorating, if the function has no argument of that name.
    """

    def decorate(function: Function) -> Function:
        parameters = inspect.signature(function).parameters
        if unknown := constraints.keys() - parameters.keys():
            raise TypeError(f'{function.__qualname__} has no argument {min(unknown)!r}')
        is_method = 'self' in parameters

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(parameters, args, strict=False)) | kwargs
            for name, constraint in constraints.items():
                if name not in given or given[name] is parameters[name].default:
                    continue
                if not constraint.admits(given[name]):
                    owner = args[0] if is_method else function.__name__
                    raise SettingError(owner, name, given[name], str(constraint))
            return function(*args, **kwargs)

        checked.constraints = constraints  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate

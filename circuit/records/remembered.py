"""Functions that a maker closes over, and how they go to another process: by what made them.

Owns the memory of makers, such as `tanh` or `leaky_relu`, and the two steps of pickling a record of
their functions.

A maker called twice with the same parameters gives the same record, so that units are equal where
they were made alike, here and in any other process. A user's own functions are pickled by name, as
Python does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOST = 256  # records kept of a maker, the latest


@dataclass(frozen=True)
class Made:
    """A function, as the field of what a maker in a module returns for some parameters."""

    module: str
    maker: str
    parameters: tuple[Any, ...]
    field: str

    def function(self) -> Any:
        """The function itself."""
        maker = getattr(import_module(self.module), self.maker)
        return getattr(maker(*self.parameters), self.field)


def remembered(maker: Callable[P, R]) -> Callable[P, R]:
    """A maker, at the top of a module, whose functions know that they are its."""

    @lru_cache(maxsize=MOST)
    def kept(*parameters: Any) -> R:
        record = maker(*parameters)  # type: ignore[call-arg]
        for one in fields(record):  # type: ignore[arg-type]
            function = getattr(record, one.name)
            # those of another maker that it takes over stay that one's
            if callable(function) and not hasattr(function, "made"):
                function.made = Made(maker.__module__, maker.__name__, parameters, one.name)
        return record

    @wraps(maker)
    def of(*parameters: P.args, **named: P.kwargs) -> R:
        return kept(*parameters, *named.values())

    return of


def parts(record: Any) -> tuple[type, dict[str, Any]]:
    """Class and fields of a record, what makers made being told by them: what is pickled of it."""
    values = {one.name: getattr(record, one.name) for one in fields(record)}
    return type(record), {name: getattr(value, "made", value) for name, value in values.items()}


def whole(kind: type, values: dict[str, Any]) -> Any:
    """The record of such `parts`; the very one that a maker keeps, where all of it is its."""
    found = {name: v.function() if isinstance(v, Made) else v for name, v in values.items()}
    record = kind(**found)
    origins = {(v.module, v.maker, v.parameters) for v in values.values() if isinstance(v, Made)}
    for module, maker, parameters in origins:
        kept = getattr(import_module(module), maker)(*parameters)
        if kept == record:
            return kept
    return record

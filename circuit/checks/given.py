"""Plain values as a caller gives them: numbers, counts, names, truth values, and units of time.

Owns what counts as each of these, and the one line that refuses anything else. Does not own the
range of a value, which is checked where its meaning is known, nor arrays of rates (`arrays`).

Numbers may come from any library: Python's, NumPy's scalars, arrays and tensors of no dimensions,
and Brian2's quantities, which are told by what they offer, so that Brian2 need not be imported. A
truth value is no number, and no number a truth value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np

from circuit.errors import CircuitError, ShapeMismatch

SI = ("metre", "kilogram", "second", "ampere", "kelvin", "mole", "candle")
UNITS = {0: "a number without unit; give one", 1: "a time; give seconds", -1: "a rate; give 1/s"}


def without_unit(what: str, value: Any, seconds: int = 0) -> Any:
    """`value`, or a Brian2 quantity in units of second ** `seconds` as NumPy numbers.

    Raises `CircuitError` for a quantity of another unit.
    """
    power = getattr(getattr(value, "dim", None), "get_dimension", None)
    if power is None:
        return value
    if any(power(unit) != seconds * (unit == "second") for unit in SI):
        raise CircuitError(f"{what} = {shown(value)} is not {UNITS[seconds]}")
    return np.asarray(value)


def real(what: str, value: Any, seconds: int = 0) -> float:
    """A number of any kind as a float, which may be infinite or NaN.

    Parameters
    ----------
    what : the name by which a message calls it
    seconds : power of the unit that a quantity must have

    Raises `CircuitError` for anything else.

    Examples
    --------
    >>> from circuit.checks import real
    >>> real("gamma", "0.5")
    Traceback (most recent call last):
    circuit.errors.CircuitError: gamma = '0.5' is not a number; give a plain one
    """
    number = without_unit(what, value, seconds)
    if getattr(number, "ndim", None) == 0 and hasattr(number, "item"):
        number = number.item()
    if isinstance(number, bool) or not isinstance(number, Real | Decimal):
        wanted = UNITS[seconds] if seconds else "a number; give a plain one"
        raise CircuitError(f"{what} = {shown(value)} is not {wanted}")
    try:
        return float(number)
    except OverflowError:
        raise CircuitError(f"{what} = {shown(value)} is too large for a float") from None


def reals(what: str, value: Any, count: int, seconds: int = 0) -> tuple[float, ...]:
    """One number for all of `count` layers, or one for each, as floats. See `real`.

    Of a sequence the length is not looked at.

    Examples
    --------
    >>> from circuit.checks import reals
    >>> reals("gamma", 0.1, 3), reals("gamma", [0.1, 0.2, 0.3], 3)
    ((0.1, 0.1, 0.1), (0.1, 0.2, 0.3))
    """
    plain = without_unit(what, value, seconds)
    if getattr(plain, "ndim", None) == 1 or is_sequence(plain):
        return tuple(real(what, one, seconds) for one in plain)
    return (real(what, plain, seconds),) * count


def set_reals(record: object, names: Iterable[str], seconds: int = 0) -> None:
    """Make those fields of a frozen dataclass floats. See `real`."""
    for name in names:
        value = real(name.replace("_", " "), getattr(record, name), seconds)
        object.__setattr__(record, name, value)


def real_array(what: str, value: Any, seconds: int = 0) -> np.ndarray:
    """Numbers of any shape as a NumPy array. Raises `ShapeMismatch` for what is none."""
    require_unmasked(what, value)
    try:
        array = np.asarray(without_unit(what, value, seconds))
    except ValueError as error:  # rows of different lengths
        raise ShapeMismatch(f"{what} is no array: {shown(error)}") from None
    if array.dtype.kind not in "iuf":
        raise ShapeMismatch(f"{what} has dtype {array.dtype}; give an array of numbers")
    return array


def require_unmasked(what: str, value: object) -> None:
    """Raise `CircuitError` for a masked array, whose mask would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise CircuitError(
            f"{what} is a masked array, and nothing here leaves entries out; give .filled(0), or "
            "the samples without gaps"
        )


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list, a tuple or the like, and not a word."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an integer of Python or NumPy; a truth value is none, nor is 6.0."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_count(what: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise `CircuitError` unless `value`, called `what`, is a whole number from `least` on, and
    to `most` where that is given.

    Examples
    --------
    >>> from circuit.checks import require_count
    >>> require_count("depth", 6.0, 1)
    Traceback (most recent call last):
    circuit.errors.CircuitError: depth = 6.0 is not a count; give a whole number of 1 or more
    """
    if not (is_whole(value) and value >= least and (most is None or value <= most)):
        allowed = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise CircuitError(f"{what} = {shown(value)} is not a count; give a whole number {allowed}")


def require_flag(what: str, value: object) -> None:
    """Raise `CircuitError` unless `value` is True or False.

    Examples
    --------
    >>> from circuit.checks import require_flag
    >>> require_flag("nudged", 1)
    Traceback (most recent call last):
    circuit.errors.CircuitError: nudged = 1 is not a truth value; give True or False
    """
    if not isinstance(value, bool | np.bool_):
        raise CircuitError(f"{what} = {shown(value)} is not a truth value; give True or False")


def require_choice(what: str, name: object, known: Iterable[str]) -> None:
    """Raise `CircuitError` unless `name` is one of the words that are `known`.

    Examples
    --------
    >>> from circuit.checks import require_choice
    >>> require_choice("pathway", "tp", ("itp", "gait"))
    Traceback (most recent call last):
    circuit.errors.CircuitError: pathway 'tp' is unknown; choose from itp, gait
    """
    if not (isinstance(name, str) and name in tuple(known)):
        raise CircuitError(f"{what} {shown(name)} is unknown; choose from {', '.join(known)}")


def require_kind(what: str, value: object, kind: type) -> None:
    """Raise `CircuitError` unless `value` is one of that class.

    Examples
    --------
    >>> from circuit import Network
    >>> from circuit.checks import require_kind
    >>> require_kind("network", None, Network)
    Traceback (most recent call last):
    circuit.errors.CircuitError: network = None is no Network; give one
    """
    if not isinstance(value, kind):
        raise CircuitError(f"{what} = {shown(value)} is no {kind.__name__}; give one")


def generator_of(what: str, given: object) -> np.random.Generator:
    """NumPy's source of random numbers, or the one that a whole number from 0 on seeds.

    Raises `CircuitError` for anything else.

    Examples
    --------
    >>> from circuit.checks import generator_of
    >>> generator_of("seed", 3).random() == generator_of("seed", 3).random()
    True
    >>> generator_of("seed", "luck")
    Traceback (most recent call last):
    circuit.errors.CircuitError: seed = 'luck' draws no random numbers; give a seed ...
    """
    if is_whole(given) and given >= 0:
        return np.random.default_rng(int(given))
    if not isinstance(given, np.random.Generator):
        raise CircuitError(
            f"{what} = {shown(given)} draws no random numbers; give a seed of 0 or more, or for "
            "example numpy.random.default_rng(1)"
        )
    return given


def shown(value: object) -> str:
    """`value` in a message: one line, and not a long one."""
    text = " ".join((str(value) if isinstance(value, Exception) else repr(value)).split())
    return text if len(text) <= 80 else f"{text[:77]}..."

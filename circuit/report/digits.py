"""How many digits tell two numbers apart: a value beside its limit must not read as equal to it."""

from __future__ import annotations

FEWEST, MOST = 2, 17  # significant; of two different float64 the last differs in 17 at the latest


def digits_apart(one: float, other: float) -> int:
    """The fewest significant digits, two at least, in which two numbers are printed differently.

    Two for what is the same, or no number.

    >>> digits_apart(0.010022, 0.010032), digits_apart(0.0051, 0.01), digits_apart(0.3, 0.3)
    (4, 2, 2)
    """
    for digits in range(FEWEST, MOST + 1):
        if f"{one:.{digits - 1}e}" != f"{other:.{digits - 1}e}":
            return digits
    return FEWEST

"""What is not at its limit does not read as if it were: digits until the two differ."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from circuit import begin, build_circuit, initialise, settle
from circuit.report import report, tables
from circuit.report.digits import digits_apart


def rounded(value: float, digits: int) -> Decimal:
    """To so many significant digits, in exact decimal arithmetic."""
    exact = Decimal(value)
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1))


def test_the_fewest_digits_against_decimal_arithmetic(rng: np.random.Generator) -> None:
    """Pairs from far apart to neighbours: they differ in so many digits, and not in fewer."""
    seen = set()
    for exponent in (*range(-15, 1), *range(-15, 1)):
        one = 10 ** rng.uniform(-12, 3)
        other = one * (1 + rng.uniform(0.2, 0.9) * 10.0**exponent)
        digits = digits_apart(one, other)
        assert rounded(one, digits) != rounded(other, digits)
        assert digits == 2 or rounded(one, digits - 1) == rounded(other, digits - 1)
        seen.add(digits)
    assert len(seen) > 10
    assert digits_apart(1.0, math.nextafter(1.0, 2.0)) == 17
    assert digits_apart(0.25, 0.25) == digits_apart(math.nan, math.nan) == 2
    assert digits_apart(math.inf, 0.1) == 2


@pytest.mark.parametrize(
    ("error", "bound", "words", "cells"),
    [
        (0.010022203, 0.010032229, "0.01002 of 0.01003 allowed", ["1.002e-02", "1.003e-02"]),
        (0.010032229, 0.010022203, "is 0.01003, over the 0.01002 that", ["1.003e-02", "1.002e-02"]),
        (0.0051, 0.01, "0.0051 of 0.01 allowed", ["5.1e-03", "1.0e-02"]),
        (0.02, 0.02, "0.02 of 0.02 allowed", ["2.0e-02", "2.0e-02"]),
    ],
)
def test_verdict_and_table(error: float, bound: float, words: str, cells: list[str]) -> None:
    """By hand. All other layers are far within, and keep two digits."""
    rng = np.random.default_rng(4)
    network = initialise([7, 6, 6, 5], rng, activation="asinh")
    trial = begin(build_circuit(network, "gait", 0.05), rng.random((4, 7)), rng.random((4, 5)))
    found = report(settle(trial))
    layers = []
    for layer in found.layers:
        own = replace(layer.updates["gait"], relative_error=error if layer.layer == 2 else 1e-5)
        layers.append(replace(layer, bound=bound, updates=layer.updates | {"gait": own}))
    changed = replace(found, layers=tuple(layers))
    assert words in changed.verdict
    assert (" at most " + words.split(maxsplit=1)[0] in changed.verdict) is (error <= bound)
    first, row, _ = re.findall(r"^layer \d +[\d.]{8} +(\S+) +(\S+) ", tables(changed), re.M)
    assert list(row) == cells
    assert first[0] == "1.0e-05"

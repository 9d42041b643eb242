"""circuit.numerics.scale.Scale against exact rational arithmetic and mpmath."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import mpmath
from hypothesis import given
from hypothesis import strategies as st

from circuit.numerics.scale import ONE, Scale

HALF_ULP = Fraction(1, 2**53)  # relative error of one correct rounding
positive = st.floats(min_value=5e-324, max_value=sys.float_info.max)
scales = st.builds(
    Scale,
    st.floats(min_value=0.5, max_value=1.0, exclude_max=True),
    st.integers(min_value=-5000, max_value=5000),
)


def exact(scale: Scale) -> Fraction:
    """The number that a scale stands for, without rounding."""
    return Fraction(scale.mantissa) * Fraction(2) ** scale.exponent


@given(positive)
def test_a_float_becomes_a_scale_and_back_exactly(value: float) -> None:
    """Scale.of loses nothing, subnormal numbers included, and keeps the mantissa in [0.5, 1)."""
    scale = Scale.of(value)
    assert exact(scale) == Fraction(value)
    assert scale.value == value
    assert 0.5 <= scale.mantissa < 1


@given(scales, scales)
def test_product_and_quotient_are_rounded_once(left: Scale, right: Scale) -> None:
    """Relative error at most half a unit in the last place, at any exponent."""
    for got, wanted in (
        (left.times(right), exact(left) * exact(right)),
        (left.over(right), exact(left) / exact(right)),
    ):
        assert abs(exact(got) - wanted) <= HALF_ULP * wanted
        assert 0.5 <= got.mantissa < 1


@given(scales, positive)
def test_product_with_a_float(scale: Scale, value: float) -> None:
    """A float factor counts as the scale of that float."""
    assert scale.times(value) == scale.times(Scale.of(value))


@given(scales, st.integers(min_value=-3000, max_value=3000))
def test_shifting_by_powers_of_two_is_exact(scale: Scale, powers: int) -> None:
    """`shifted` changes the exponent and rounds nothing."""
    assert exact(scale.shifted(powers)) == exact(scale) * Fraction(2) ** powers


@given(scales)
def test_value_rounds_correctly_into_the_range_of_floats(scale: Scale) -> None:
    """0 below the smallest float, infinity above the largest, the nearest float between."""
    wanted = exact(scale)
    if wanted > Fraction(sys.float_info.max):
        assert scale.value == math.inf
    else:
        assert scale.value == float(wanted)  # Fraction to float rounds correctly


def test_value_at_the_ends_of_the_range() -> None:
    """The largest float, twice it, and exponents far outside."""
    largest = Scale.of(sys.float_info.max)
    assert largest.value == sys.float_info.max
    assert largest.shifted(1).value == math.inf
    assert ONE.shifted(-1074).value == 5e-324
    assert ONE.shifted(-1076).value == 0.0
    assert ONE.shifted(10**9).value == math.inf
    assert ONE.shifted(-(10**9)).value == 0.0


@given(scales)
def test_log10_against_mpmath(scale: Scale) -> None:
    """log10 to rounding, where the float itself may be out of range."""
    with mpmath.workdps(50):
        wanted = mpmath.log10(mpmath.mpf(scale.mantissa) * mpmath.mpf(2) ** scale.exponent)
        size = abs(scale.exponent) * mpmath.log10(2) + 1  # of the terms that are added
        assert abs(mpmath.mpf(scale.log10) - wanted) <= 3 * sys.float_info.epsilon * size


def test_zero_stays_zero() -> None:
    """A vanishing factor has value 0, whatever it is multiplied with."""
    zero = Scale.of(0.0)
    assert zero.value == 0.0
    assert zero.log10 == -math.inf
    assert ONE.times(0.0).value == 0.0
    assert zero.shifted(5000).value == 0.0
    assert zero.times(ONE.shifted(5000)).value == 0.0
    assert zero.over(ONE).value == 0.0


def test_a_long_product_keeps_its_digits() -> None:
    """0.001^1000 = 1e-3000: one rounding per factor, and no underflow."""
    product = ONE
    for _ in range(1000):
        product = product.times(1e-3)
    wanted = Fraction(1e-3) ** 1000
    assert abs(exact(product) / wanted - 1) <= 1000 * HALF_ULP * Fraction(101, 100)
    assert product.value == 0.0
    assert math.isclose(product.log10, -3000, rel_tol=1e-14)

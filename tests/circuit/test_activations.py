"""circuit.activations against mpmath, and against derivatives taken numerically."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from circuit.activations import Activation
from circuit.errors import CircuitError, TargetOutOfRange
from circuit.units.asinh import asinh
from circuit.units.leaky_relu import leaky_relu
from circuit.units.linear import linear
from circuit.units.table import ACTIVATIONS, activation
from circuit.units.tanh import tanh

SLOPE = 0.1
DTYPES = ("float64", "float32")
SCALES = (1.0, 1e-3, 1e-12, 1e-30, 1e-300)
DIGITS = 60  # beyond those that the smallest scale takes away


@dataclass(frozen=True)
class Exact:
    """An activation function in mpmath: f and f^-1."""

    value: Callable[[mpf], mpf]
    inverse: Callable[[mpf], mpf]


EXACT = {
    "linear": Exact(lambda h: h, lambda y: y),
    "leaky_relu": Exact(
        lambda h: h if h > 0 else mpf(SLOPE) * h, lambda y: y if y > 0 else y / mpf(SLOPE)
    ),
    "asinh": Exact(mpmath.asinh, mpmath.sinh),
    "tanh": Exact(mpmath.tanh, mpmath.atanh),
}
NAMES = tuple(EXACT)


def grid(largest: float, smallest: float = 1e-7) -> np.ndarray:
    """Numbers of both signs over many orders of magnitude, none of them zero."""
    sizes = np.geomspace(smallest, largest, 12)
    return np.concatenate([-sizes[::-1], sizes])


def pairs(first: np.ndarray, second: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every combination of two lists of numbers, in the precision asked for."""
    a, b = np.meshgrid(first, second)
    return a.ravel().astype(dtype), b.ravel().astype(dtype)


def in_mpmath(function: Callable[..., mpf], *arrays: np.ndarray) -> list[mpf]:
    """`function` entry by entry."""
    return [function(*map(mpf, row)) for row in zip(*(a.tolist() for a in arrays), strict=True)]


def worst_error(got: np.ndarray, wanted: list[mpf], allowed: np.ndarray | float = 1.0) -> float:
    """Largest relative error in units of eps * allowed; 0/0 counts as 0."""
    errors = [
        abs(mpf(a) - b) / abs(b) if b else mpf(a != 0) * mp.inf
        for a, b in zip(got.tolist(), wanted, strict=True)
    ]
    return max(map(float, np.array(errors) / allowed)) / float(np.finfo(got.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_inverse(name: str, dtype: str) -> None:
    """f and f^-1 to rounding, from 1e-7 to 30 (asinh, tanh) or 1e9 (piecewise linear)."""
    unit, exact = activation(name), EXACT[name]
    h = grid(1e9 if unit.piecewise_linear else 30.0).astype(dtype)
    y = grid(0.99 if name == "tanh" else 30.0).astype(dtype)
    with mp.workdps(DIGITS):
        assert worst_error(unit.value(h), in_mpmath(exact.value, h)) < 4
        assert worst_error(unit.inverse(y), in_mpmath(exact.inverse, y)) < 4
    assert unit.value(h).dtype == unit.inverse(y).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_slope_and_curvature_against_central_differences(name: str, dtype: str) -> None:
    """f' and f'' against differences of f with step 1e-25, 100 digits (error of order 1e-50)."""
    unit, exact = activation(name), EXACT[name]
    h = grid(30.0).astype(dtype)
    with mp.workdps(100):
        step = mpf(10) ** -25

        def slope(x: mpf) -> mpf:
            return (exact.value(x + step) - exact.value(x - step)) / (2 * step)

        def curvature(x: mpf) -> mpf:
            outer = exact.value(x + step) + exact.value(x - step)
            return (outer - 2 * exact.value(x)) / step**2

        # the rounding of exp(-2 |h|) grows with its argument
        assert worst_error(unit.slope(h), in_mpmath(slope, h), 4 + 2 * np.abs(h)) < 1
        if unit.piecewise_linear:
            assert not unit.curvature(h).any()
        else:
            bent = in_mpmath(curvature, h)
            assert worst_error(unit.curvature(h), bent, 8 + 2 * np.abs(h)) < 1
    assert unit.slope(h).dtype == unit.curvature(h).dtype == dtype


def test_slope_at_a_kink_is_that_of_the_left() -> None:
    """As documented: h = 0 counts as below."""
    assert leaky_relu(SLOPE).slope(np.array([0.0]))[0] == SLOPE


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_difference_keeps_its_digits(name: str, scale: float, dtype: str) -> None:
    """(f(h + s d) - f(h)) / s to a few eps for shifts of any size, across kinks too."""
    unit, exact = activation(name), EXACT[name]
    h, d = pairs(grid(9.0), grid(20.0, 1e-6), dtype)
    with mp.workdps(DIGITS + 320):
        s = mpf(scale)
        wanted = in_mpmath(lambda h, d: (exact.value(h + s * d) - exact.value(h)) / s, h, d)
        assert worst_error(unit.difference(h, d, scale), wanted, 5 / SLOPE) < 1
    assert unit.difference(h, d, scale).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_inverse_difference_keeps_its_digits(name: str, scale: float, dtype: str) -> None:
    """(f^-1(y + s d) - f^-1(y)) / s likewise; tanh wherever y + s d is inside its range."""
    unit, exact = activation(name), EXACT[name]
    y, d = pairs(grid(0.99 if name == "tanh" else 9.0), grid(1.9, 1e-6), dtype)
    if name == "tanh":
        inside = np.abs(y + scale * d) < 0.995
        y, d = y[inside], d[inside]
    # rounding y + s d moves atanh by eps / (1 - |y + s d|)
    rates = [np.minimum(np.abs(rate), 0.995) for rate in (y, y + scale * d)]
    near_the_end = sum(1 / (1 - rate) for rate in rates) if name == "tanh" else 5 / SLOPE
    with mp.workdps(DIGITS + 320):
        s = mpf(scale)
        wanted = in_mpmath(lambda y, d: (exact.inverse(y + s * d) - exact.inverse(y)) / s, y, d)
        assert worst_error(unit.inverse_difference(y, d, scale), wanted, 8 + near_the_end) < 1
    assert unit.inverse_difference(y, d, scale).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_scale_that_has_underflowed(name: str, dtype: str) -> None:
    """At s = 0 both differences are their limits, f'(h) d and d / f'(h)."""
    unit, exact = activation(name), EXACT[name]
    h, d = pairs(grid(3.0), grid(2.0), dtype)
    y = unit.value(h)
    with mp.workdps(DIGITS):
        step = mpf(10) ** -30

        def forwards(h: mpf, d: mpf) -> mpf:
            return (exact.value(h + step) - exact.value(h - step)) / (2 * step) * d

        def backwards(y: mpf, d: mpf) -> mpf:
            return (exact.inverse(y + step) - exact.inverse(y - step)) / (2 * step) * d

        assert worst_error(unit.difference(h, d, 0.0), in_mpmath(forwards, h, d)) < 20
        near_the_end = 1 / (1 - np.minimum(np.abs(y), 0.999)) if name == "tanh" else 1.0
        got = unit.inverse_difference(y, d, 0.0)
        assert worst_error(got, in_mpmath(backwards, y, d), 20 * near_the_end) < 1


@pytest.mark.parametrize("scale", [1.0, 1e-200, 0.0])
def test_leaving_a_kink(scale: float) -> None:
    """From h = 0 the difference is that of the side it goes to, at every scale."""
    unit, origin, d = leaky_relu(SLOPE), np.zeros(2), np.array([3.0, -3.0])
    assert unit.difference(origin, d, scale) == pytest.approx([3.0, -3.0 * SLOPE], rel=1e-15)
    assert unit.inverse_difference(origin, d, scale) == pytest.approx(
        [3.0, -3.0 / SLOPE], rel=1e-15
    )


@given(
    name=st.sampled_from(NAMES),
    h=st.floats(-3, 3),
    d=st.floats(-1, 1).filter(lambda d: abs(d) > 1e-6),
    scale=st.sampled_from((1.0, 0.1, 1e-6, 1e-100, 0.0)),
)
def test_the_two_differences_undo_each_other(name: str, h: float, d: float, scale: float) -> None:
    """f^-1 after f: a shift carried up through a unit and down again is the same shift."""
    unit = activation(name)
    drive, shift = np.array([h]), np.array([d])
    carried = unit.difference(drive, shift, scale)
    back = unit.inverse_difference(unit.value(drive), carried, scale)
    # rounding y and y + s d near the ends of tanh, or next to a kink, is magnified by 1/slope
    steepest = 1 / min(unit.slope(drive)[0], unit.slope(drive + scale * shift)[0], SLOPE)
    assert back[0] == pytest.approx(d, rel=10 * np.finfo(float).eps * steepest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_from_one_end_of_its_range_to_the_other(dtype: str) -> None:
    """A full target (TP) may ask a unit at -0.9999 to go to 0.9999: 2 atanh(0.9999)."""
    gap = 2.0 ** (-13 if dtype == "float32" else -27)  # exact in either precision
    y = np.array([gap - 1, 1 - gap], dtype=dtype)
    with mp.workdps(DIGITS):
        far = 2 * mpmath.atanh(1 - mpf(gap))
        assert worst_error(tanh().inverse_difference(y, -2 * y, 1.0), [far, -far]) < 20


@pytest.mark.parametrize("rate", [1.0, -1.0, 1.5, -7.0, float("nan")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_refuses_rates_out_of_range(rate: float, dtype: str) -> None:
    """No inverse at or outside +-1: one line that names the size and a remedy."""
    y, inside = np.array([0.3, rate], dtype=dtype), np.array([0.3, 0.2], dtype=dtype)
    for ask in (
        lambda: tanh().inverse(y),
        lambda: tanh().inverse_difference(inside, y - inside, 1.0),
        lambda: tanh().inverse_difference(y, inside - y, 1.0),  # from there, not only to there
    ):
        with pytest.raises(TargetOutOfRange, match="use smaller targets") as refusal:
            ask()
        assert "\n" not in str(refusal.value)
        assert f"{abs(rate):g}" in str(refusal.value)


def test_tanh_accepts_rates_just_inside() -> None:
    """The last float before 1 has an inverse."""
    last = np.nextafter(1.0, 0.0)
    with mp.workdps(DIGITS):
        assert worst_error(tanh().inverse(np.array([last])), [mpmath.atanh(mpf(last))]) < 4


finite = st.floats(-10, 10) | st.floats(-1e-300, 1e-300) | st.sampled_from((0.0, 5e-324))


@given(
    st.lists(st.tuples(finite, finite), min_size=1, max_size=4),
    st.sampled_from((1.0, 0.5, 1e-3, 1e-160, 1e-300, 0.0)) | st.floats(0, 1),
)
def test_stays_is_never_wrong(units: list[tuple[float, float]], scale: float) -> None:
    """Where `stays` says yes, h and h + s d have one sign in exact arithmetic."""
    h, d = (np.array(column) for column in zip(*units, strict=True))
    if leaky_relu().stays(h, d, scale).all():
        for a, b in units:
            end = Fraction(a) + Fraction(scale) * Fraction(b)
            assert (a > 0 and end > 0) or (a < 0 and end < 0)


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=4),
    st.floats(1e-100, 1),
)
def test_where_units_stay_the_difference_is_slope_times_shift(
    units: list[tuple[float, float]], scale: float
) -> None:
    """The promise that `stays` makes."""
    h, d = (np.array(column) for column in zip(*units, strict=True))
    h[np.abs(h) < 1e-50] = 1.0  # s d of that size is at the end of what a float resolves
    unit = leaky_relu(SLOPE)
    if unit.stays(h, d, scale).all():
        moved, straight = unit.difference(h, d, scale), unit.slope(h) * d
        np.testing.assert_allclose(moved, straight, rtol=10 * np.finfo(float).eps / SLOPE)


def test_stays_says_yes_where_it_can() -> None:
    """Not vacuous: a sample with all its units clear of the kink stays; one that has a unit which
    crosses or touches it does not."""
    h = np.array([[1.0, -1.0]] * 3 + [[0.0, 1.0], [1.0, 0.0]])
    d = np.array([[-2.0, 2.0], [-2.0, 0.0], [0.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    assert leaky_relu().stays(h, d, 0.49).all(axis=-1).tolist() == [True, True, True, False, False]
    assert leaky_relu().stays(h, d, 0.5).all(axis=-1).tolist() == [False] * 5
    assert leaky_relu().stays(h, d, 0.51).all(axis=-1).tolist() == [False] * 5
    assert leaky_relu().stays(h, 0 * d, 1.0).tolist() == (h != 0).tolist()
    for unit, answer in ((linear(), True), (asinh(), False), (tanh(), False)):
        assert unit.stays(h, d, 1e-9).tolist() == [[answer] * 2] * 5
        assert unit.stays(h[None], d[None], 1e-9).shape == (1, 5, 2)


@pytest.mark.parametrize("name", NAMES)
def test_declared_bounds(name: str) -> None:
    """Supremum and infimum of f', supremum of |f''|: never exceeded, and approached."""
    unit = activation(name)
    h = np.concatenate([np.linspace(-3, 3, 6001), [-1e9, 1e9]])
    slopes, curvatures = unit.slope(h), np.abs(unit.curvature(h))
    few_eps = 4 * np.finfo(float).eps
    assert slopes.max() == pytest.approx(unit.largest_slope, rel=few_eps)
    assert slopes.min() == pytest.approx(unit.smallest_slope, abs=2e-9)
    assert slopes.min() >= unit.smallest_slope
    assert curvatures.max() <= unit.largest_curvature * (1 + few_eps)
    assert curvatures.max() >= unit.largest_curvature * (1 - 1e-6)
    assert unit.piecewise_linear == (unit.largest_curvature == 0)


@pytest.mark.parametrize("slope", [0.01, 0.5, 0.9])
def test_leaky_slope_is_the_one_asked_for(slope: float) -> None:
    """f(-1) = -slope, f^-1(-slope) = -1, f' = slope below."""
    unit, minus_one = leaky_relu(slope), np.array([-1.0])
    assert unit.value(minus_one)[0] == -slope
    assert unit.inverse(-slope * np.ones(1))[0] == -1.0
    assert unit.slope(minus_one)[0] == unit.smallest_slope == slope


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_leaky_slope_out_of_range(slope: float) -> None:
    """A slope of 0 has no inverse, one of 1 no kink."""
    with pytest.raises(CircuitError, match="not between 0 and 1"):
        leaky_relu(slope)


def test_activations_by_name() -> None:
    """The registry makes what it names, and says what it has."""
    for name in ACTIVATIONS:
        made = activation(name)
        assert isinstance(made, Activation)
        assert made.name == name
    with pytest.raises(CircuitError, match="'relu' is unknown; choose from linear, leaky_relu"):
        activation("relu")


def test_a_difference_to_the_end_of_tanh_has_no_inverse_however_it_is_rounded() -> None:
    """1 - y is the way to the end, although y + (1 - y) may be rounded to less."""
    y = np.tanh(np.random.default_rng(2).standard_normal(20000))
    y = y[y + (1 - y) < 1]
    assert len(y) > 0
    unit = tanh()
    for rates, way in ((y, 1 - y), (-y, y - 1)):
        assert np.isnan(unit.sends(rates, way, 1.0)).all()
        with pytest.raises(TargetOutOfRange):
            unit.inverse_difference(rates, way, 1.0)
        near = unit.inverse_difference(rates, 0.5 * way, 1.0)
        wanted = np.arctanh(rates + 0.5 * way) - np.arctanh(rates)
        np.testing.assert_allclose(near, wanted, rtol=1e-9)

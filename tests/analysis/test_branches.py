"""analysis.continuation against normal forms, a circuit with a closed form, and theorems."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from analysis.canvas import draw
from analysis.continuation import Ending, Field, follow
from analysis.sweep.run import run
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.network import Network
from circuit.units.asinh import asinh
from studies.strong import figures as strong_figures
from studies.strong import study as strong
from studies.strong.branches import circuit_field, feedback_branch
from studies.strong.figures import FIGURES

ACCURACY = 1e-6  # the default of `follow`, relative to the parameter


def _field(velocity, jacobian, slope):
    """A field whose residual is measured absolutely."""
    return Field(
        velocity, jacobian, slope, lambda x, mu: float(np.max(np.abs(velocity(x, mu)), initial=0))
    )


# V = 2 - mu - x^2: stable on x = sqrt(2 - mu), unstable on the other side of the fold at mu = 2
FOLD = _field(
    lambda x, mu: 2 - mu - x**2,
    lambda x, mu: np.diag(-2 * x),
    lambda x, mu: -np.ones(1),
)


def _hopf(frequency, critical):
    """The normal form around a centre that moves with mu, in rotated coordinates, and a third x."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]

    def centre(mu):
        return np.array([mu, mu**2, math.sin(mu)])

    def local(x, mu):
        return rotation.T @ (x - centre(mu))

    def jacobian(x, mu):
        u, v, _ = local(x, mu)
        grow, square = mu - critical, u * u + v * v
        inner = np.array(
            [
                [grow - square - 2 * u * u, -frequency - 2 * u * v, 0],
                [frequency - 2 * u * v, grow - square - 2 * v * v, 0],
                [0, 0, -1],
            ]
        )
        return rotation @ inner @ rotation.T

    def field(x, mu):
        u, v, w = local(x, mu)
        grow = mu - critical - u * u - v * v
        return rotation @ np.array([grow * u - frequency * v, grow * v + frequency * u, -w])

    def slope(x, mu):
        u, v, _ = local(x, mu)
        moved = np.array([1, 2 * mu, math.cos(mu)])
        return rotation @ np.array([u, v, 0]) - jacobian(x, mu) @ moved

    return _field(field, jacobian, slope)


def test_arclength_gets_round_a_fold():
    branch = follow(FOLD, np.ones(1), 1.0, largest=5.0, points_beyond=500)
    assert branch.ending is Ending.FOLD
    # at a fold the parameter is stationary: an error along the branch enters it squared
    assert branch.critical.parameter == pytest.approx(2, rel=1e-9)
    assert abs(branch.critical.state[0]) < 2 * 4 * ACCURACY
    assert branch.critical.leading.imag == 0
    assert branch.accuracy == ACCURACY
    for point in branch.points:
        assert point.state[0] ** 2 == pytest.approx(2 - point.parameter, abs=1e-9)
        assert point.stable == (point.state[0] > 0)
    # all the way back, on the other side
    assert branch.points[-1].parameter < 1
    assert branch.points[-1].state[0] < -1


@pytest.mark.parametrize("frequency", [0.3, 2.0])
def test_hopf_bifurcation_of_the_normal_form(frequency):
    critical = 0.7
    branch = follow(_hopf(frequency, critical), np.zeros(3), 0.0, largest=2.0)
    assert branch.ending is Ending.HOPF
    assert branch.critical.parameter == pytest.approx(critical, rel=2 * ACCURACY)
    assert branch.critical.leading.imag == pytest.approx(frequency, rel=1e-9)
    assert abs(branch.critical.leading.real) < 2 * ACCURACY


def test_pitchfork_is_no_fold():
    """V = (mu - 1) x - x^3 along x = 0: a real eigenvalue crosses, and the branch goes on."""
    field = _field(
        lambda x, mu: (mu - 1) * x - x**3,
        lambda x, mu: np.diag(mu - 1 - 3 * x**2),
        lambda x, mu: x.copy(),
    )
    branch = follow(field, np.zeros(1), 0.0, largest=2.0, points_beyond=500)
    assert branch.ending is Ending.BRANCH_POINT
    assert branch.critical.parameter == pytest.approx(1, rel=2 * ACCURACY)
    assert branch.points[-1].parameter == 2


def test_stable_branch_ends_at_the_largest_parameter():
    field = _field(
        lambda x, mu: mu**2 - x,
        lambda x, mu: -np.eye(1),
        lambda x, mu: np.full(1, 2 * mu),
    )
    branch = follow(field, np.zeros(1), 0.0, largest=3.0)
    assert (branch.ending, branch.critical) == (Ending.REACHED, None)
    assert math.isnan(branch.accuracy)
    assert branch.points[-1].parameter == 3
    assert branch.points[-1].state[0] == pytest.approx(9)


def test_branch_that_runs_off_to_infinity_never_passes_the_pole():
    """x = 1 / (1 - mu)."""
    field = _field(
        lambda x, mu: 1 - (1 - mu) * x,
        lambda x, mu: np.full((1, 1), mu - 1),
        lambda x, mu: x.copy(),
    )
    branch = follow(field, np.ones(1), 0.0, largest=2.0, most_points=200)
    assert branch.ending in {Ending.OUT_OF_POINTS, Ending.LOST}
    assert 0.99 < branch.points[-1].parameter < 1
    assert all(point.stable for point in branch.points)


def test_where_the_field_ceases_to_exist_the_branch_is_lost():
    def velocity_below_a_half(x, mu):
        if mu > 0.5:
            raise TargetOutOfRange("nothing here")
        return mu - x

    field = _field(velocity_below_a_half, lambda x, mu: -np.eye(1), lambda x, mu: np.ones(1))
    branch = follow(field, np.zeros(1), 0.0, largest=1.0)
    assert branch.ending is Ending.LOST
    assert branch.critical is None
    assert branch.points[-1].parameter == pytest.approx(0.5, abs=1e-6)


def test_what_the_ruler_refuses_is_no_point():
    refused = Field(FOLD.velocity, FOLD.jacobian, FOLD.parameter_slope, lambda x, mu: 1e-3)
    with pytest.raises(CircuitError, match="no equilibrium at the start, parameter 1"):
        follow(refused, np.ones(1), 1.0, largest=2.0)


def test_unstable_start_and_bad_range():
    branch = follow(FOLD, -np.ones(1), 1.0, largest=1.5)
    assert branch.ending is Ending.UNSTABLE_START
    with pytest.raises(CircuitError, match=r"largest parameter 1 is not above the start 1"):
        follow(FOLD, np.ones(1), 1.0, largest=1.0)


def test_budget_of_points():
    branch = follow(FOLD, np.ones(1), 1.0, largest=5.0, most_points=4)
    assert (branch.ending, len(branch.points)) == (Ending.OUT_OF_POINTS, 4)


# Circuits


def _trial(pathway, activation, init="orthogonal", *, depth=4, n=12, n_outputs=None, seed=0):
    rng = np.random.default_rng(seed)
    network = initialise(
        [n] * (depth + 1), rng, init=init, activation=activation, n_outputs=n_outputs
    )
    inputs = rng.random((1, n))
    target = 0.8 * np.eye(network.n_outputs)[rng.integers(0, network.n_outputs, 1)]
    return begin(build_circuit(network, pathway, 0.1), inputs, target)


def _two_units(drive, target):
    one = np.ones((1, 1))
    network = Network((one, one), (np.zeros(1), np.zeros(1)), (asinh(), asinh()), 1, 1)
    circuit = build_circuit(network, "itp", 0.1)
    return begin(circuit, np.full((1, 1), float(drive)), np.full((1, 1), float(target)))


@pytest.mark.parametrize(("drive", "target"), [(-2.0, 8.0), (-2.0, 10.0)])
def test_fold_of_two_units_is_a_scalar_equation(drive, target):
    """W = 1, b = 0: y_1 = (1-g) asinh(x) + g sinh((1-g) asinh(y_1) + g t), and its derivative."""

    def sent(y, g):
        return (1 - g) * mpmath.asinh(y) + g * target

    def balance(y, g):
        return y - (1 - g) * mpmath.asinh(drive) - g * mpmath.sinh(sent(y, g))

    def derivative(y, g):
        return 1 - g * (1 - g) * mpmath.cosh(sent(y, g)) / mpmath.sqrt(1 + y * y)

    branch = feedback_branch(_two_units(drive, target), points_beyond=20)
    assert branch.ending is Ending.FOLD
    y = math.asinh(drive) + branch.critical.state[0]
    guess = (round(y, 2), round(branch.critical.parameter, 2))
    exact_y, exact_g = mpmath.findroot(lambda y, g: [balance(y, g), derivative(y, g)], guess)
    assert branch.critical.parameter == pytest.approx(float(exact_g), rel=1e-9)
    assert y == pytest.approx(float(exact_y), rel=100 * ACCURACY)
    first_unstable = [point.stable for point in branch.points].index(False)
    assert max(point.parameter for point in branch.points[:first_unstable]) <= float(exact_g)
    # and the eigenvalues of the 2 x 2 Jacobian, on both sides of the fold
    for point in branch.points:
        g, y_1 = point.parameter, math.asinh(drive) + point.state[0]
        product = g * (1 - g) * float(mpmath.cosh(sent(y_1, g))) / math.hypot(1, y_1)
        assert point.leading.real == pytest.approx(-1 + math.sqrt(product), abs=1e-7)
        assert float(balance(y_1, g)) == pytest.approx(0, abs=1e-8)


def test_two_units_have_two_stable_equilibria():
    """Past its fold the branch turns once more, at a smaller gamma, and goes on stable."""
    branch = feedback_branch(_two_units(-2.0, 8.0), points_beyond=400)
    stable = [point.stable for point in branch.points]
    lost = stable.index(False)
    found_again = lost + stable[lost:].index(True)
    assert branch.points[-1].parameter == 0.98
    assert all(stable[found_again:])
    turn = branch.points[found_again].parameter
    upper = [point.state[0] for point in branch.points[found_again:] if point.parameter > turn]
    lower = [point.state[0] for point in branch.points[:lost] if point.parameter > turn]
    assert len(lower) > 0
    assert min(upper) > max(lower)


def test_small_targets_leave_two_units_stable():
    """The product of slopes stays under 1 / (gamma (1 - gamma)): no fold, the negative control."""
    branch = feedback_branch(_two_units(0.5, 1.0))
    assert branch.ending is Ending.REACHED


@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("depth", [2, 4])
def test_linear_itp_circuit_is_stable_at_every_strength(init, depth):
    """docs/derivation.md, section 3: the spectrum does not depend on the weights."""
    trial = _trial("itp", "linear", init, depth=depth, n=6)
    branch = feedback_branch(trial, largest=0.999)
    assert branch.ending is Ending.REACHED
    assert branch.points[-1].parameter == 0.999
    for point in branch.points:
        g = point.parameter
        expected = -1 + 2 * math.sqrt(g * (1 - g)) * math.cos(math.pi / (depth + 1))
        # n-fold eigenvalues of a matrix that is not normal: eps^(1/L) at gamma = 0
        assert point.leading.real == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("activation", ["asinh", "tanh"])
def test_points_of_the_branch_are_what_other_methods_settle_on(pathway, activation):
    trial = _trial(pathway, activation, n_outputs=5)
    branch = feedback_branch(trial)
    compared = 0
    for point in branch.points[1::4]:
        if not 0 < point.parameter < 0.4:
            continue
        circuit = build_circuit(trial.network, pathway, point.parameter)
        other = begin(circuit, trial.activity.rates[0], trial.target[:, :5])
        record = settle(other, "newton", must_converge=False)
        if not record.converged:
            continue
        compared += 1
        shifts = np.split(point.state, trial.network.depth)
        for layer, shift in enumerate(shifts, 1):
            exact = record.shifts.absolute(layer)[0]
            assert np.linalg.norm(shift - exact) <= 1e-6 * np.linalg.norm(exact)
    assert compared >= 3


def _numerical_jacobian(trial, state, strength):
    """Central differences of the rate equations as printed, tau = 1."""
    circuit = build_circuit(trial.network, trial.circuit.pathway.name, strength, time_constant=1.0)
    trial = begin(circuit, trial.activity.rates[0], trial.target[:, : trial.network.n_outputs])
    rest = np.concatenate(trial.activity.rates[1:], axis=1)[0]
    borders = np.cumsum(trial.network.widths[1:])[:-1]

    def moving(rates):
        return np.concatenate(velocity(trial, [r[None] for r in np.split(rates, borders)]), axis=1)[
            0
        ]

    assert np.max(np.abs(moving(rest + state))) < 1e-8
    step, columns = 1e-5, []
    for unit in range(state.size):
        change = np.zeros_like(state)
        change[unit] = step
        columns.append((moving(rest + state + change) - moving(rest + state - change)) / (2 * step))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    ("pathway", "activation", "seed", "ending"),
    [
        ("itp", "tanh", 0, Ending.FOLD),
        ("gait", "tanh", 4, Ending.HOPF),
    ],
)
def test_critical_point_against_the_printed_equations(pathway, activation, seed, ending):
    """The velocity vanishes there, and an eigenvalue of its numerical Jacobian is on the axis."""
    trial = _trial(pathway, activation, "gaussian", depth=5, n=8, seed=seed)
    branch = feedback_branch(trial)
    assert branch.ending is ending
    critical = branch.critical
    values = np.linalg.eigvals(_numerical_jacobian(trial, critical.state, critical.parameter))
    leading = values[np.argmax(values.real)]
    assert abs(leading.real) < 1e-3
    assert abs(leading.imag) == pytest.approx(critical.leading.imag, abs=1e-3)
    assert branch.points[-2].stable
    assert not branch.points[-1].stable
    assert all(point.relative_residual <= 1e-9 for point in branch.points)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_slope_in_the_feedback_strength(pathway, rng):
    """The field is affine in gamma: a difference quotient of any width is exact."""
    field = circuit_field(_trial(pathway, "asinh", n_outputs=5))
    state = 0.1 * rng.standard_normal(48)
    quotient = (field.velocity(state, 0.7) - field.velocity(state, 0.2)) / 0.5
    np.testing.assert_allclose(field.parameter_slope(state, 0.4), quotient, atol=1e-14)


def test_one_sample_at_a_time():
    trial = _trial("itp", "asinh")
    inputs = np.repeat(trial.activity.rates[0], 2, axis=0)
    both = begin(trial.circuit, inputs, np.zeros((2, 12)))
    with pytest.raises(CircuitError, match=r"2,\) samples at once; use trial.samples"):
        circuit_field(both)


# The study


@pytest.mark.usefixtures("rough_pictures")
def test_study_runs_resumes_and_draws(measured, tmp_path):
    """Two cells through the engine, in this process: verified points, an example, both pictures."""
    whole = strong.study("smoke")
    cells = tuple(c for c in whole.cells if c["depth"] == 2 and c["pathway"] == "itp")
    small = replace(whole, cells=cells)
    measured("strong", 1, tmp_path)
    data = run(small, tmp_path, workers=0, quiet=True)
    assert data.sizes["cell"] == 2
    assert not any(status.startswith("failed") for status in data["status"].values.tolist())
    assert float(data["worst_residual"].max()) <= 1e-9
    lost = np.isfinite(data["critical_gamma"].values)
    np.testing.assert_array_equal(lost, data["status"].values != Ending.REACHED.value)
    assert np.isfinite(data["branch_gamma"].values).any(axis=1).all()
    # the dotted line of the picture: docs/derivation.md, section 3, with outputs without a target
    np.testing.assert_allclose(data["linear_abscissa"].values[:, 0], -1, atol=1e-3)
    assert {path.name for path in draw(FIGURES, data, tmp_path)} == {
        "strong_critical.png",
        "strong_branches.png",
    }


def test_median_of_critical_strengths():
    """By hand: what is never lost counts as infinite; seeds are drawn with their images."""
    values = np.array([0.2, 0.3, np.inf, np.inf])
    middle, low, high = strong_figures._median(values, np.array([1, 1, 2, 2]))
    assert middle == 0.3  # the lower median
    assert (low, high) == (0.2, np.inf)  # both draws of seed 1, both of seed 2
    assert strong_figures._median(np.full(3, 0.5), np.arange(3)) == (0.5, 0.5, 0.5)

"""The newton method where circuits are hard: against a plain dense Newton iteration in rates."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.methods.newton.steps import dense_direction, direction, residuals
from circuit.methods.newton.undamped import follow, from_parts, search, undamped
from circuit.network import Network
from circuit.trial import Trial
from circuit.units.asinh import asinh
from circuit.verification.judgement import Status
from tests.circuit.test_dynamics import make_trial


def hard_trial(seed: int) -> Trial:
    """A GAIT circuit of asinh units with weights of condition 1 to 1e4, gamma 1e-3 to 0.5."""
    rng = np.random.default_rng(seed)
    width, depth = int(rng.integers(3, 7)), int(rng.integers(3, 6))
    condition, weights = 10 ** rng.uniform(0, 4), []
    for _ in range(depth):
        left, _ = np.linalg.qr(rng.standard_normal((width, width)))
        right, _ = np.linalg.qr(rng.standard_normal((width, width)))
        singular = np.geomspace(1, 1 / condition, width) * 10 ** rng.uniform(0, 0.5)
        weights.append(left * singular @ right)
    network = Network(
        weights=tuple(weights),
        biases=tuple(0.3 * rng.standard_normal(width) for _ in range(depth)),
        activations=(asinh(),) * depth,
        n_inputs=width,
        n_outputs=width,
    )
    circuit = build_circuit(network, "gait", 10 ** rng.uniform(-3, np.log10(0.5)))
    inputs = rng.standard_normal((1, width))
    return begin(circuit, inputs, rng.standard_normal((1, width)) * 10 ** rng.uniform(-1, 0.5))


def rates_velocity(trial: Trial, flat: np.ndarray) -> np.ndarray:
    """The printed equations at one flat vector of rates or at many (rows), in units of 1/tau."""
    many = np.atleast_2d(flat)
    layers = np.split(many, np.cumsum(trial.network.widths[1:])[:-1], axis=1)
    stacked = trial.samples([0] * len(many))
    found = np.concatenate(velocity(stacked, layers), axis=1) * trial.circuit.time_constants[0]
    return found.reshape(flat.shape)


def plain_newton(trial: Trial) -> np.ndarray | None:
    """Full steps from the forward pass in rates, the Jacobian by central differences."""
    rest = np.concatenate([rates[0] for rates in trial.activity.rates[1:]])
    state, eye = rest.copy(), np.eye(len(rest))
    with np.errstate(all="ignore"):
        for _ in range(60):
            h = 6e-6 * np.maximum(np.abs(state), 1)
            ahead, behind = (
                rates_velocity(trial, state + sign * h[:, None] * eye) for sign in (1, -1)
            )
            jacobian, here = ((ahead - behind) / (2 * h[:, None])).T, rates_velocity(trial, state)
            if not (np.isfinite(jacobian).all() and np.isfinite(here).all()):
                return None
            step = np.linalg.solve(jacobian, here)
            state = state - step
            if np.linalg.norm(step) <= 1e-9 * np.linalg.norm(state - rest):
                return state - rest
    return None


# of 300 random circuits, those that plain steps find and a search by descent and sweeps did not
HARD = (7, 34, 39, 57, 62, 70, 73, 87, 133, 143, 174, 196, 250, 251, 254, 258)


@pytest.mark.parametrize("seed", HARD)
def test_what_a_plain_newton_iteration_finds_is_found(seed):
    trial = hard_trial(seed)
    record = settle(trial, "newton", must_converge=False)
    assert record.converged, record.failure()
    found = np.concatenate(
        [record.shifts.absolute(i)[0] for i in range(1, trial.network.depth + 1)]
    )
    rest = np.concatenate([rates[0] for rates in trial.activity.rates[1:]])
    # the printed equations, which know nothing of shifts, are at rest there
    gone = rates_velocity(trial, rest + found)
    assert np.abs(gone).max() < 1e-6 * max(1, np.abs(rest + found).max())


# circuits that full steps from the forward pass do not settle; of all but the first the path is
# lost, too
SEARCHED_FURTHER = (18, 119, 159)


# whose paths are short: one of twenty steps to and fro (seed 7) leads elsewhere with another BLAS
@pytest.mark.parametrize("seed", [34, 39, 73, 133, 196, 250, 251])
def test_undamped_steps_are_those_of_a_plain_newton_iteration(seed):
    """Newton's method does not depend on coordinates: shifts in their scales and rates agree."""
    trial = hard_trial(seed)
    plain = plain_newton(trial)
    values, arrived, _ = undamped(trial, trial.at_rest(), 60)
    assert plain is not None and arrived.all()
    shifts = trial.at_rest().with_values(values)
    found = np.concatenate([shifts.absolute(i)[0] for i in range(1, trial.network.depth + 1)])
    assert np.linalg.norm(found - plain) < 1e-5 * np.linalg.norm(plain)


def test_hard_circuits_of_a_batch_do_not_disturb_each_other():
    """Images of which some need a search, settled at once and one by one: the same equilibria."""
    trial = hard_trial(7)
    rng = np.random.default_rng(0)
    others = rng.standard_normal((3, trial.network.n_inputs))
    inputs = np.concatenate([trial.activity.rates[0], others])
    targets = np.concatenate([trial.target, rng.standard_normal((3, trial.network.widths[-1]))])
    many = begin(trial.circuit, inputs, targets)
    together = settle(many, "newton", must_converge=False)
    for i in range(4):
        alone = settle(many.samples([i]), "newton", must_converge=False)
        assert together.sample_status[i] is alone.status
        for layer in range(1, trial.network.depth + 1) if alone.converged else ():
            np.testing.assert_allclose(
                together.shifts.absolute(layer)[i], alone.shifts.absolute(layer)[0], rtol=1e-6
            )
    assert together.sample_status[0] is Status.CONVERGED
    assert together.sample_status.count(Status.CONVERGED) > 1


def test_a_small_error_is_followed_to_where_newton_goes_at_once():
    trial = make_trial(np.random.default_rng(3), "gait", "asinh", 0.1, batch=1)
    exact = settle(trial, "newton", tolerance=1e-12).shifts
    for route in (follow, from_parts):
        values, evaluations = route(trial)
        assert values is not None and evaluations > 0
        found = trial.at_rest().with_values(values)
        for layer in range(1, trial.network.depth + 1):
            gap = found.absolute(layer) - exact.absolute(layer)
            assert np.linalg.norm(gap) < 1e-9 * np.linalg.norm(exact.absolute(layer))


def test_where_undamped_steps_do_not_arrive_another_way_does():
    """Circuits that full steps from the forward pass leave, found along the error or from parts."""
    found = {"follow": 0, "parts": 0}
    for seed in SEARCHED_FURTHER:
        trial = hard_trial(seed)
        with np.errstate(all="ignore"):
            _, arrived, _ = undamped(trial, trial.at_rest(), 60)
            assert not arrived.any()
            found["follow"] += follow(trial)[0] is not None
            found["parts"] += from_parts(trial)[0] is not None
            values, arrived, _ = search(trial)
        assert arrived.all()
        shifts = trial.at_rest().with_values(values)
        rest = np.concatenate([rates[0] for rates in trial.activity.rates[1:]])
        moved = [shifts.absolute(layer)[0] for layer in range(1, trial.network.depth + 1)]
        state = rest + np.concatenate(moved)
        assert np.abs(rates_velocity(trial, state)).max() < 1e-6 * np.abs(state).max()
    assert min(found.values()) > 0


def test_what_is_sought_alone_is_found_beside_a_huge_error():
    """Whose size decides the scales of the batch."""
    trial = hard_trial(SEARCHED_FURTHER[0])
    huge = np.concatenate([trial.target, 1e12 * trial.target])
    both = begin(trial.circuit, np.repeat(trial.activity.rates[0], 2, axis=0), huge)
    assert both.scales != trial.scales
    with np.errstate(all="ignore"):
        values, arrived, _ = search(both)
        expected, _, _ = search(trial)
    assert arrived[0]
    found, alone = both.at_rest().with_values(values), trial.at_rest().with_values(expected)
    for layer in range(1, trial.network.depth + 1):
        np.testing.assert_allclose(
            found.absolute(layer)[0], alone.absolute(layer)[0], rtol=1e-9, atol=0
        )


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_directions_solve_the_linearised_equations(pathway):
    """Against the Jacobian of the printed equations by central differences in rates."""
    trial = make_trial(np.random.default_rng(4), pathway, "asinh", 0.3, batch=2)
    rng = np.random.default_rng(5)
    values = tuple(0.1 * rng.standard_normal(v.shape) for v in trial.at_rest().values)
    state = trial.at_rest().with_values(values)
    residual = residuals(trial, state)
    for solve in (direction, dense_direction):
        changes, evaluations = solve(trial, state, residual)
        assert evaluations > 0
        step = trial.at_rest().with_values(changes)
        for sample in range(2):
            one = trial.samples([sample])
            rates = np.concatenate(
                [
                    r[sample] + state.absolute(i)[sample]
                    for i, r in enumerate(trial.activity.rates)
                    if i > 0
                ]
            )
            change = np.concatenate(
                [step.absolute(i)[sample] for i in range(1, trial.network.depth + 1)]
            )
            h = 1e-5
            tangent = (
                rates_velocity(one, rates + h * change) - rates_velocity(one, rates - h * change)
            ) / (2 * h)
            here = rates_velocity(one, rates)
            assert np.linalg.norm(tangent + here) < 1e-5 * np.linalg.norm(here)


def test_the_singular_jacobian_gives_no_number():
    trial = make_trial(np.random.default_rng(4), "gait", "asinh", 0.3, batch=1)
    rest = trial.at_rest()
    broken = rest.with_values(tuple(np.full_like(v, np.nan) for v in rest.values))
    _, arrived, _ = undamped(trial, broken, 5)
    assert not arrived.any()


def test_rates_out_of_range_spoil_their_own_sample_only():
    """Tanh: a shift that carries one image's rate beyond 1, so that it has no message; what that
    reaches has no residual, and the others' residuals stay.
    """
    trial = make_trial(np.random.default_rng(6), "itp", "tanh", 0.3, batch=3)
    state = trial.at_rest()
    values = [value.copy() for value in state.values]
    values[-1][1, 0] = 3 / state.scales[-1].value
    found = residuals(trial, state.with_values(tuple(values)))
    right = residuals(trial, state)
    n = trial.network.n_projecting(2)
    assert np.isnan(found[-2][1, :n]).all()  # all units below feel the one that has no message
    for layer, expected in zip(found, right, strict=True):
        np.testing.assert_array_equal(layer[[0, 2]], expected[[0, 2]])

"""Descents of the direct method at strong feedback: how far couplings go, and that it is needed."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.methods.direct import couplings, unit_equations
from circuit.methods.direct.couplings import CUT, GROWTH, SHORTEST, _damped
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial


def by_hand(wanted, samples):
    """Couplings of every sample on its own: full steps at first, then shares of them."""
    now = [np.zeros(sample.shape) for sample in wanted[0]]
    share, last, path = np.ones(samples), None, []
    for goal in wanted:
        for s in range(samples):
            step = goal[s] - now[s]
            if last is not None:
                turned = sum(a * b for a, b in zip(step.flat, last[s].flat, strict=True)) < 0
                share[s] = min(1.0, max(SHORTEST, share[s] * (CUT if turned else GROWTH)))
            now[s] = now[s] + share[s] * step
            goal[s] = step
        last = goal
        path.append(np.stack(now))
    return path


def test_couplings_go_as_far_as_each_sample_bears(rng):
    """Two layers' couplings over many steps, of which some turn back, against loops; one sample
    always turns back, until its share is the shortest, and one never.
    """
    samples, units, steps = 4, 3, 14
    wanted = rng.standard_normal((steps, samples, 2, units))
    wanted[:, 0] = 10.0 * np.cumprod(np.full(steps, -1.5))[:, None, None]
    wanted[:, 1] = np.arange(1, steps + 1)[:, None, None] ** 2
    found, damping = [None, np.zeros((samples, units)), np.zeros((samples, units))], None
    expected = by_hand([list(goal.copy()) for goal in wanted], samples)
    for goal, after in zip(wanted, expected, strict=True):
        aims = [None, goal[:, 0], goal[:, 1]]
        found, damping = _damped(found, aims, damping)
        for layer in (0, 1):
            np.testing.assert_allclose(found[layer + 1], after[:, layer], rtol=1e-12)
        assert found[0] is None
    assert damping.share[0] == SHORTEST
    assert damping.share[1] == 1
    np.testing.assert_array_equal(damping.samples([3, 0]).share, damping.share[[3, 0]])


def strong(seed, gamma, width=100, depth=5, batch=12):
    """An ITP circuit of orthogonal weights with strong feedback."""
    rng = np.random.default_rng(seed)
    network = initialise((width,) * (depth + 1), rng, n_outputs=10)
    circuit = build_circuit(network, "itp", gamma)
    targets = np.eye(10)[rng.integers(0, 10, batch)]
    return begin(circuit, rng.random((batch, width)), targets)


@pytest.mark.parametrize("gamma", [0.3, 0.5])
def test_damped_descents_arrive_where_full_steps_go_to_and_fro(gamma, monkeypatch):
    """By the steps that are left to take once they are done; full steps are the control."""

    def steps():
        records = [settle(strong(seed, gamma), "direct") for seed in range(4)]
        return [record.steps for record in records]

    assert max(steps()) <= 4
    monkeypatch.setattr(couplings, "UNDAMPED", couplings.PREPARATORY_DESCENTS + 1)
    assert max(steps()) >= 20


@pytest.mark.parametrize("strengths", [(0.3, 0.05, 0.2), (0.02, 0.3, 0.1), (0.4, 0.01, 0.3)])
@pytest.mark.parametrize("unit", ["leaky_relu", "asinh"])
@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_descents_know_the_strength_of_every_layer(pathway, unit, strengths):
    """Feedback that is far from equal: to rest in the printed equations, and in a few steps."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        shape = {"widths": (6, 6, 5, 4), "n_outputs": 3, "error": 0.3}
        trial = make_trial(rng, pathway, unit, strengths, **shape)
        record = settle(trial, must_converge=False)
        assert record.converged and record.steps <= 4
        for sample in range(2):
            with mp.workdps(digits(record.shifts)):
                literal = LiteralCircuit(trial, sample)
                left = literal.relative_residuals(literal.rates(record.shifts, sample))
            assert max(left) <= 1.1 * record.tolerance


@pytest.mark.parametrize("seed", [0, 25])
def test_units_that_leave_the_range_of_their_inverse_are_led_back(seed, monkeypatch):
    """Tanh units with strong feedback, on whose way steps end beyond (-1, 1): the state is at rest
    in the printed equations in mpmath. Where nobody leads them back, no such state is found.
    """
    trial = make_trial(
        np.random.default_rng(seed), "gait", "tanh", 0.9, error=2.0, widths=(4, 4, 4, 3)
    )
    record = settle(trial, "direct")
    with mp.workdps(digits(record.shifts)):
        for sample in range(2):
            literal = LiteralCircuit(trial, sample)
            residuals = literal.relative_residuals(literal.rates(record.shifts, sample))
            assert max(residuals) < 3 * record.tolerance
    monkeypatch.setattr(unit_equations, "HALVINGS", 0)
    assert not settle(trial, "direct", must_converge=False).converged

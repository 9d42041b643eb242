"""How far circuits through any feedback may be from their rules: plain, corrected, all pathways.

The rules are written down again, with the difference correction, as Eqs. 12 and 17 with B in place
of the inverse.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.report.comparison import Outcome, report

A = 0.1
VALUE = {"asinh": np.arcsinh, "leaky_relu": lambda h: np.where(h > 0, h, A * h)}
SLOPE = {
    "asinh": lambda h: 1 / np.sqrt(1 + h**2),
    "leaky_relu": lambda h: np.where(h > 0, 1.0, A),
}
INVERSE = {"asinh": np.sinh, "leaky_relu": lambda y: np.where(y > 0, y, y / A)}


def _circuit(seed, pathway, gamma, corrected, unit):
    """Rectangles, and matrices that are a third off the pseudo-inverse."""
    rng = np.random.default_rng(seed)
    widths = ((7, 5, 6, 4), (6, 5, 5, 5))[seed % 2]
    network = initialise(widths, rng, init="gaussian", activation=unit, auxiliary=False)
    network = replace(network, n_outputs=3)
    for bias in network.biases:
        bias[:] = 0.2 * rng.standard_normal(bias.shape)
    matrices = []
    for weights in network.weights[1:]:
        good = np.linalg.pinv(weights)
        good = good / max(1.0, np.linalg.norm(good, 2))
        matrices.append(good + 0.3 * np.std(good) * rng.standard_normal(good.shape))
    circuit = build_circuit(network, pathway, gamma, feedback=matrices, corrected=corrected)
    return begin(circuit, rng.random((4, widths[0])), 0.8 * rng.random((4, 3))), matrices


def _rule(trial, matrices, pathway, gamma, unit):
    """delta_1 .. delta_L over their gains, from the forward pass."""
    network = trial.network
    activity = forward(network, trial.activity.rates[0])
    shift = np.zeros_like(activity.rates[-1])
    shift[:, :3] = trial.target[:, :3] - activity.rates[-1][:, :3]
    found, gain = [shift], 1.0
    for layer in (3, 2):
        h, W = activity.drive(layer), network.weights[layer - 1]
        y = VALUE[unit](h)
        factor = SLOPE[unit](h) ** 2 if pathway != "itp" else 1.0
        if pathway == "grait":
            factor = factor * (W**2).sum(axis=1)
        moved = INVERSE[unit](y + gamma * factor * gain * found[0]) - h
        gain *= gamma
        found.insert(0, moved @ matrices[layer - 2].T / gain)
    return found


def _errors(trial, readout, pathway, gamma, unit, matrices):
    """(relative error of the update, its bound) of every layer."""
    record = settle(trial, tolerance=1e-12)
    found = report(record, readout)
    activity, pairs = record.trial.activity, []
    for layer, shift in enumerate(_rule(trial, matrices, pathway, gamma, unit), 1):
        below = activity.rates[layer - 1]
        wanted = np.einsum("bi,bj->ij", activity.slope(layer) * shift, below) / len(below)
        own = found.circuit_updates[layer - 1].weights
        error = np.linalg.norm(own - wanted) / np.linalg.norm(wanted)
        pairs.append((error, found.layers[layer - 1].bound))
    return found, np.array(pairs)


@pytest.mark.parametrize("corrected", [True, False], ids=["corrected", "plain"])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("unit", ["asinh", "leaky_relu"])
def test_the_update_is_within_its_bound(unit, pathway, corrected):
    """Both read-outs. The shift's bound decides at weak feedback, and is no tenfold of the error.

    The mismatch of a plain circuit has what it is in the free phase, and is no error signal: its
    bound says so.
    """
    for seed in range(4):
        for gamma in (1e-3, 0.02):
            trial, matrices = _circuit(seed, pathway, gamma, corrected, unit)
            for readout in ("shift", "mismatch"):
                _, pairs = _errors(trial, readout, pathway, gamma, unit, matrices)
                errors, bounds = pairs.T
                assert np.all(errors <= bounds + 1e-7), (seed, gamma, readout)
                if readout == "shift":
                    assert np.all(bounds < 0.5)
                    assert np.all(bounds < 10 * errors + 1e-6)
                elif not corrected:
                    assert bounds[0] > 0.5


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_a_plain_circuit_carries_the_corrected_rule(pathway):
    """To first order in gamma: a tenth of the feedback, a tenth of the error and of the bound. The
    rule without the difference correction is not what it carries (control).
    """
    found = []
    for gamma in (1e-2, 1e-3, 1e-4):
        trial, matrices = _circuit(2, pathway, gamma, False, "asinh")
        seen, pairs = _errors(trial, "shift", pathway, gamma, "asinh", matrices)
        assert seen.outcome is Outcome.AGREES
        found.append(pairs)
        activity = forward(trial.network, trial.activity.rates[0])
        missed = activity.drive(2) - trial.network.biases[1]
        missed = missed @ matrices[0].T - activity.rates[1]
        shift = _rule(trial, matrices, pathway, gamma, "asinh")[0]
        assert np.linalg.norm(missed) / gamma**2 > 10 * np.linalg.norm(shift)
    for before, after in itertools.pairwise(found):
        np.testing.assert_allclose(before[:2] / after[:2], 10, rtol=0.2)


def test_another_rule_lies_outside_the_bound():
    """Control: the ITP rule beside the GAIT circuit, and the other way round."""
    for pathway, other in (("itp", "gait"), ("gait", "itp")):
        trial, matrices = _circuit(1, pathway, 1e-3, True, "leaky_relu")
        found, pairs = _errors(trial, "shift", other, 1e-3, "leaky_relu", matrices)
        assert pairs[0, 0] > 10 * found.layers[0].bound

"""Deep networks: where a circuit of units with kinks rests there, and what is printed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.report.tables import shown_layers, tables
from circuit.trial import Trial
from circuit.verification import kinks
from models.command.equilibrium_summary import shortened
from models.run_equilibrium import main
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial


def deep_trial(pathway: str = "gait", activation: str = "leaky_relu", depth: int = 60) -> Trial:
    """Orthogonal weights, 12 units a layer: rates fall below the shifts towards the output."""
    rng = np.random.default_rng(11)
    network = initialise([12] * (depth + 1), rng, activation=activation)
    circuit = build_circuit(network, pathway, 0.01)
    return begin(circuit, rng.random((6, 12)), np.eye(12)[rng.integers(0, 12, 6)])


def test_a_deep_circuit_says_that_its_units_lie_across_their_kinks():
    """And gives no advice that is followed already: the weights are orthogonal. (A sweep throws
    units off their kink, where some of them would have to rest; `direct` lets them.)
    """
    record = settle(deep_trial(), "sweep", max_steps=200, must_converge=False)
    assert not record.converged
    assert "lie across their kink in" in record.failure()
    assert "no state was found, with such units at their kink or not" in record.failure()
    assert "orthogonal" not in record.failure()
    assert "\n" not in record.failure()


def test_a_deep_circuit_rests_with_some_units_at_their_kink():
    """At 60 layers, by the printed equations in mpmath. What a layer's mismatch asks of the layer
    above, v = (1 - gamma) / gamma W m, is what its units send, v = f^-1(f(h) + A^2 m) - h; at a
    kink it lies between a m and m / a.
    """
    trial = deep_trial()
    record = settle(trial)
    slides = 0
    with mp.workdps(digits(record.shifts)):
        literal = LiteralCircuit(trial, 1)
        y, unit = literal.rates(record.shifts, 1), literal.units[1]
        mismatches = [None] + [
            mp.matrix(y[layer]) - mp.matrix(literal.feedforward(layer, y[layer - 1]))
            for layer in range(1, 61)
        ]
        for layer in range(2, 61):
            asked = mp.matrix(literal.weights[layer]) * mismatches[layer - 1] * mpf(0.99) / 0.01
            h, still = (
                literal.drive(layer, y[layer - 1]),
                literal.drive(layer, literal.forward[layer - 1]),
            )
            moved = mpmath.norm(mp.matrix(h) - mp.matrix(still))
            for i, slope in enumerate(record.sliding_slopes[layer - 1][1]):
                m = mismatches[layer][i]
                if slope > 0:
                    slides += 1
                    assert abs(h[i]) < 1e-8 * moved
                    assert 0.1 < asked[i] / m < 10
                else:
                    sent = unit.inverse(unit.value(h[i]) + unit.slope(h[i]) ** 2 * m) - h[i]
                    assert abs(asked[i] - sent) < 1e-8 * mpmath.norm(asked)
    assert slides >= 2


@pytest.mark.parametrize(
    ("pathway", "activation"), [("gait", "asinh"), ("gait", "linear"), ("itp", "leaky_relu")]
)
def test_what_it_advises_settles(pathway, activation):
    assert settle(deep_trial(pathway, activation)).converged


def test_orthogonal_weights_are_advised_where_they_are_none():
    rng = np.random.default_rng(8)
    trial = make_trial(rng, "itp", "asinh", 0.6, widths=(6,) * 6, n_outputs=6, init="gaussian")
    record = settle(trial, "sweep", must_converge=False, max_steps=400)
    diverged = replace(record, status=record.status.DIVERGED)
    assert "weaker feedback or orthogonal weights" in diverged.failure()
    assert "kink" not in diverged.failure()


def test_units_across_their_kink_are_those_whose_drive_changed_sign():
    """By the drives themselves, W y + b at rest and in the state."""
    trial = make_trial(
        np.random.default_rng(3), "itp", "leaky_relu", 0.3, widths=(9, 8, 6, 5), n_outputs=4
    )
    trial = replace(trial, error=8 * trial.error)
    shifts = settle(trial).shifts
    found = kinks.crossed_fractions(trial, shifts)
    rates = [trial.activity.rates[0]]
    rates += [y + shifts.absolute(i) for i, y in enumerate(trial.activity.rates) if i > 0]
    assert (found[0] == 0).all() and found.max() > 0
    for layer in (2, 3):
        weights, bias = trial.network.weights[layer - 1], trial.network.biases[layer - 1]
        n = weights.shape[1]
        before = trial.activity.rates[layer - 1][:, :n] @ weights.T + bias
        after = rates[layer - 1][:, :n] @ weights.T + bias
        np.testing.assert_allclose(found[layer - 1], np.mean(before * after < 0, axis=1))


def test_only_the_images_that_failed_are_asked_for_their_kinks():
    trial = deep_trial()
    shifts = settle(trial, must_converge=False).shifts
    still = shifts.with_values(
        tuple(np.where(np.arange(6)[:, None] < 3, 0.0, value) for value in shifts.values)
    )
    assert kinks.words(trial, still, [True] * 3 + [False] * 3) == ""
    assert "kink" in kinks.words(trial, still, [False] * 3 + [True] * 3)
    assert kinks.words(deep_trial("itp"), shifts, [True] * 6) == ""


def _report(residuals: np.ndarray, errors: np.ndarray) -> SimpleNamespace:
    layers = [
        SimpleNamespace(
            layer=i + 1,
            relative_residual=residual,
            bound=0.5,
            updates={"gait": SimpleNamespace(relative_error=error)},
        )
        for i, (residual, error) in enumerate(zip(residuals, errors, strict=True))
    ]
    return SimpleNamespace(layers=layers, pathway="gait")


def test_layers_shown_are_the_ends_and_the_worst():
    residuals, errors = np.full(100, 1e-12), np.full(100, 1e-3)
    residuals[[30, 31, 40, 41, 50]] = [1e-9, np.nan, 1e-8, np.inf, 1e-7]
    errors[[60, 61, 70, 71, 80]] = [0.1, 0.2, 0.3, 0.4, np.nan]
    worst = [31, 32, 41, 42, 51, 61, 62, 71, 72, 81]
    expected = [1, 2, 3, 4, 5, *worst, 96, 97, 98, 99, 100]
    assert shown_layers(_report(residuals, errors)) == expected
    few = shown_layers(_report(residuals[:24], errors[:24]))
    assert few == list(range(1, 25))


def test_a_deep_network_prints_a_short_table_and_writes_all_layers(capsys, tmp_path):
    arguments = ["--depth", "40", "--batch", "2", "--no-brian2", "--no-figures", "--activation"]
    assert main([*arguments, "asinh", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("layer ")]
    assert 2 * 10 <= len(rows) <= 2 * 20
    left_out = 41 - len(rows) // 2
    assert "layers 64 (42 times) (10 outputs" in printed
    assert f"{left_out} of 41 layers are left out here" in printed
    assert (tmp_path / "summary.json").read_text().count('"relative_residual"') == 41


def test_only_long_runs_of_widths_are_shortened():
    assert shortened([9, 9, 9, 4]) == "9-9-9-4"
    assert shortened([30, *[7] * 13, *[5] * 12, 2]) == "30-7 (13 times)-" + "5-" * 12 + "2"


def test_a_shallow_network_prints_all_layers():
    from circuit.report.comparison import report

    trial = make_trial(np.random.default_rng(3), "gait", "asinh", 0.01)
    text = tables(report(settle(trial)))
    assert "left out" not in text
    assert text.count("\nlayer ") == 2 * trial.network.depth

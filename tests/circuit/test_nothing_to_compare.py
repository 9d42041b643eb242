"""Layers whose weights nothing changes: nothing to compare, and never "nan"."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.network import Network, forward
from circuit.report.comparison import Outcome, report
from circuit.report.labelled import as_dataset
from circuit.report.tables import tables


@pytest.fixture
def network(rng):
    """6-5-5-4 with biases, the first layer reading three pixels alone."""
    shapes = ((5, 3), (5, 5), (4, 5))
    return Network(
        weights=tuple(np.linalg.qr(rng.standard_normal((6, 6)))[0][:n, :m] for n, m in shapes),
        biases=tuple(rng.standard_normal(n) for n, _ in shapes),
        activations="asinh",
        n_inputs=6,
        n_outputs=4,
    ).padded()


def found(network, images, targets):
    """The report of the settled circuit."""
    return report(settle(begin(build_circuit(network), images, targets), must_converge=False))


def test_a_layer_that_reads_black_pixels_is_left_out(network, rng):
    """dW_1 is an outer product with the rates below, all of them 0."""
    images = rng.random((7, 6))
    images[:, :3] = 0
    result = found(network, images, np.eye(4)[rng.integers(0, 4, 7)])
    assert [layer.silent for layer in result.layers] == [True, False, False]
    assert result.layers[0].updates["gait"] is None
    assert result.layers[1].updates["gait"] is not None
    assert result.outcome is Outcome.AGREES
    assert "nothing to compare in layer 1:" in result.remarks[-1]
    assert "nan" not in tables(result) + result.verdict
    data = as_dataset(result, rng)
    assert np.isnan(data["cosine"].sel(layer=1)).all()
    assert np.isfinite(data["cosine"].sel(layer=2, rule="gait"))
    assert data["synapse_pre"].sel(layer=1).max() < 3  # of W_1 (5, 3)
    assert data["synapse_post"].sel(layer=1).max() == 4


def test_targets_that_are_the_outputs_leave_nothing_anywhere(network, rng):
    images = rng.random((7, 6))
    result = found(network, images, forward(network, images).rates[-1][:, :4])
    assert all(layer.silent for layer in result.layers)
    assert result.outcome is Outcome.UNDECIDED
    assert result.verdict == "There is nothing to compare: no weight changes in any layer."
    assert "nan" not in tables(result)


def test_a_circuit_that_learns_where_its_rule_does_not_disagrees(network, rng, monkeypatch):
    images = rng.random((7, 6))
    trial = begin(build_circuit(network), images, np.eye(4)[rng.integers(0, 4, 7)])
    record = settle(trial)
    from circuit.report import comparison

    rule = comparison.RULES["gait"]

    def idle(*arguments):
        shifts = rule(*arguments)
        return shifts.with_values((0 * shifts.values[0], *shifts.values[1:]))

    monkeypatch.setitem(comparison.RULES, "gait", idle)
    result = report(record)
    assert result.outcome is Outcome.DISAGREES
    assert "nan" not in result.verdict
    assert result.layers[0].updates["gait"].relative_error == np.inf

"""Auxiliary units that make weights square: literal checks of their rows, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.doors.padding import pad
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError, IllConditioned, ShapeMismatch, SingularWeights
from circuit.initialisation.networks import initialise
from circuit.network import Network, forward


@pytest.fixture
def network(rng):
    """12-9-7-4 with tanh units, each layer of which reads all units below."""
    shapes = ((9, 12), (7, 9), (4, 7))
    weights = [rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes]
    biases = [0.1 * rng.standard_normal(shape[0]) for shape in shapes]
    return Network.from_layers(weights, biases, ("tanh", "tanh", "linear"))


@pytest.mark.parametrize("rows", ["orthonormal", "gaussian"])
def test_the_network_stays_what_it_was(network, rng, rows):
    padded = network.padded(rows, rng)
    padding = pad(network.weights, network.biases, rows, rng)
    assert (padding.rows, padding.words) == (rows, padded.notes[0])
    assert padding.added == (0, 2, 3)
    assert padded.widths == (12, 9, 9, 7)
    assert padded.n_outputs == 4
    for W, V in zip(network.weights, padded.weights, strict=True):
        np.testing.assert_array_equal(V[: len(W)], W)
    inputs = rng.standard_normal((6, 12))
    was, now = forward(network, inputs), forward(padded, inputs)
    for layer in range(1, 4):
        width = network.widths[layer]
        np.testing.assert_allclose(now.rates[layer][:, :width], was.rates[layer], rtol=1e-13)


def test_orthonormal_rows_are_orthogonal_to_all_others(network):
    padded = network.padded()
    for layer in (2, 3):
        W = padded.weights[layer - 1]
        width = network.widths[layer]
        gram = W @ W.T
        np.testing.assert_allclose(gram[width:, :width], 0, atol=1e-14)
        np.testing.assert_allclose(gram[width:, width:], np.eye(len(W) - width), atol=1e-14)


def test_the_inverse_is_the_pseudo_inverse_beside_the_rows(network):
    """[W; Q]^-1 = [W^+, Q^T] for orthonormal Q with W Q^T = 0."""
    for layer in (2, 3):
        W = network.weights[layer - 1]
        whole = network.padded().weights[layer - 1]
        wanted = np.concatenate([np.linalg.pinv(W), whole[len(W) :].T], axis=1)
        np.testing.assert_allclose(np.linalg.inv(whole), wanted, atol=1e-12)


def test_gaussian_rows_have_the_variance_that_is_said(rng):
    wide = Network.from_layers([rng.random((400, 3)), rng.random((2, 400))], activations="linear")
    drawn = wide.padded("gaussian", rng).weights[1][2:]
    assert drawn.shape == (398, 400)
    np.testing.assert_allclose(np.var(drawn), 1 / 400, rtol=0.02)  # 5 standard errors: 0.018


@pytest.mark.parametrize("pathway", ["gait", "itp"])
def test_a_padded_circuit_is_the_circuit_through_the_pseudo_inverse(network, rng, pathway):
    """Found apart by the sweeps of the circuit with any feedback matrices."""
    inputs, targets = rng.standard_normal((5, 12)), rng.standard_normal((5, 4))
    record = settle(begin(build_circuit(network.padded(), pathway, 0.03), inputs, targets))
    circuit = build_circuit(network, pathway, 0.03, feedback="pseudo-inverse")
    other = settle(begin(circuit, inputs, targets), "sweep")
    for layer in (1, 2, 3):
        width = network.n_projecting(layer)
        found = record.shifts.absolute(layer)[:, :width]
        wanted = other.shifts.absolute(layer)[:, :width]
        assert np.linalg.norm(wanted) > 0
        assert np.linalg.norm(found - wanted) < 1e-8 * np.linalg.norm(wanted)


def test_gaussian_rows_give_another_answer(network, rng):
    """The control of the test above: the answer depends on such rows."""
    inputs, targets = rng.standard_normal((5, 12)), rng.standard_normal((5, 4))
    shifts = [
        settle(begin(build_circuit(one), inputs, targets)).shifts.absolute(1)
        for one in (network.padded(), network.padded("gaussian", rng))
    ]
    a, b = (shift[:, :9].ravel() for shift in shifts)
    assert abs(a @ b) < 0.9 * np.linalg.norm(a) * np.linalg.norm(b)


@pytest.mark.parametrize(("rows", "word"), [("orthonormal", "orthonorm"), ("gaussian", "Gaussian")])
def test_what_was_added_is_said(network, rng, rows, word):
    (note,) = network.padded(rows, rng).notes
    assert "2 to layer 2, 3 to layer 3" in note
    assert word in note


def test_square_weights_need_nothing_and_nothing_is_said(rng):
    square = initialise([8, 6, 6, 4], rng)
    padding = pad(square.weights, square.biases)
    assert padding.added == (0, 0, 0)
    assert (padding.words, square.padded().notes) == ("", ())


def test_what_no_row_can_help_is_refused(rng):
    wider = Network.from_layers([rng.random((3, 4)), rng.random((5, 3))], activations="tanh")
    with pytest.raises(CircuitError, match="layer 2 has 5 units that read 3"):
        wider.padded()
    twice = Network.from_layers([rng.random((6, 4)), np.ones((2, 6))], activations="tanh")
    with pytest.raises(SingularWeights, match=r"2 rows of W of layer 2 .*rank 1"):
        twice.padded()
    with pytest.raises(CircuitError, match="choose from orthonormal, gaussian"):
        wider.padded("random")
    with pytest.raises(CircuitError, match="default_rng"):
        wider.padded("gaussian")
    stacked = Network(
        weights=(rng.random((2, 3, 4)),),
        biases=(rng.random((2, 3)),),
        activations="tanh",
        n_inputs=4,
        n_outputs=3,
    )
    with pytest.raises(ShapeMismatch, match="one network at a time"):
        stacked.padded()


def test_rows_that_nearly_depend_are_warned_of(rng):
    row = rng.standard_normal(6)
    rows = np.stack([row, row + 1e-7 * rng.standard_normal(6)])
    near = Network.from_layers([rng.random((6, 4)), rows], activations="tanh")
    with pytest.warns(IllConditioned, match="layer 2"):
        padded = near.padded()
    assert "condition" in padded.notes[-1]

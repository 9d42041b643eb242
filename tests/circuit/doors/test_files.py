"""Networks in files: our own, and those that hold W_1, b_1, ... and nothing more."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.doors.files import load, save
from circuit.errors import CircuitError
from circuit.network import Network


@pytest.fixture
def arrays(rng):
    """Of a network 6-5-2 without biases in layer 2."""
    return {"W_1": rng.random((5, 6)), "b_1": rng.random(5), "W_2": rng.random((2, 5))}


def test_a_file_of_others_is_read_with_the_units_that_are_said(tmp_path, arrays):
    np.savez(tmp_path / "own.npz", **arrays, epoch=3)
    network = load(tmp_path / "own.npz", ("tanh", "linear"), n_outputs=1)
    assert (network.widths, network.n_outputs) == ((6, 5, 2), 1)
    np.testing.assert_array_equal(network.weights[1], arrays["W_2"])
    np.testing.assert_array_equal(network.biases[0], arrays["b_1"])
    assert [unit.name for unit in network.activations] == ["tanh", "linear"]


def test_our_own_file_keeps_everything_notes_and_rectangular_weights_too(tmp_path, arrays):
    weights = [arrays["W_1"], arrays["W_2"]]
    network = Network.from_layers(weights, activations=("relu", "linear")).padded()
    save(str(tmp_path / "net.npz"), network)
    back = load(str(tmp_path / "net.npz"))
    assert back.notes == network.notes
    assert len(back.notes) == 2
    assert (back.widths, back.n_outputs) == ((6, 5, 5), 2)
    assert back.activation(1).smallest_slope == 0.01
    np.testing.assert_array_equal(back.weights[1], network.weights[1])
    with pytest.raises(CircuitError, match="it says its activation functions itself"):
        load(tmp_path / "net.npz", "tanh")


@pytest.mark.parametrize(
    ("change", "activations", "words"),
    [
        ({}, None, "it says no activation functions"),
        ({"W_2": None}, "tanh", "reads|has b_2"),
        ({"W_1": None, "W_2": None, "b_1": None, "x": np.ones(2)}, "tanh", "it has x, and no W_1"),
        ({"W_1": None}, "tanh", "no.*W_1|'W_1'|it has no"),
        ({"b_4": np.ones(2)}, "tanh", "it has b_4 but 2 weights"),
        ({"W_1": np.array(["a"])}, "tanh", "give an array of numbers"),
        ({}, "gelu", "'gelu' is unknown"),
    ],
)
def test_files_that_hold_no_network_are_refused_by_name(
    tmp_path, arrays, change, activations, words
):
    held = {name: array for name, array in (arrays | change).items() if array is not None}
    if change == {"W_2": None}:
        held["b_2"] = np.ones(2)
    np.savez(tmp_path / "odd.npz", **held)
    with pytest.raises(CircuitError, match=words) as refusal:
        load(tmp_path / "odd.npz", activations)
    message = str(refusal.value)
    assert str(tmp_path / "odd.npz") in message
    assert "\n" not in message


def test_nothing_is_unpickled(tmp_path, arrays):
    np.savez(tmp_path / "odd.npz", **arrays | {"b_1": np.array([None] * 5)})
    with pytest.raises(CircuitError, match="holds no plain values"):
        load(tmp_path / "odd.npz", "tanh")

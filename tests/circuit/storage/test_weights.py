"""Weights on disk: bit for bit, whole or not at all, and foreign files refused in one line."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.storage.networks import load_network, save_network
from circuit.units.asinh import asinh
from circuit.units.leaky_relu import leaky_relu
from circuit.units.linear import linear
from circuit.units.tanh import tanh


def _network(rng, dtype="float64"):
    units = (leaky_relu(0.25), asinh(), tanh(), linear())
    network = initialise([9, 7, 7, 5, 4], rng, activation=units, n_outputs=3, dtype=dtype)
    biases = tuple(rng.standard_normal(bias.shape).astype(dtype) for bias in network.biases)
    return replace(network, biases=biases)


@pytest.fixture
def path(tmp_path, rng):
    """A file with a good network in it."""
    path = tmp_path / "net.npz"
    save_network(path, _network(rng))
    return path


def _members(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _refusal(path):
    with pytest.raises(CircuitError) as refusal:
        load_network(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_round_trip_bit_for_bit(tmp_path, rng, dtype):
    network = _network(rng, dtype)
    save_network(tmp_path / "net.npz", network)
    back = load_network(tmp_path / "net.npz")
    for was, now in zip(
        (*network.weights, *network.biases), (*back.weights, *back.biases), strict=True
    ):
        assert was.dtype == now.dtype
        assert was.tobytes() == now.tobytes()
    assert (back.n_inputs, back.n_outputs, back.widths) == (9, 3, network.widths)
    inputs = rng.random((4, 9)).astype(dtype)
    for was, now in zip(forward(network, inputs).rates, forward(back, inputs).rates, strict=True):
        np.testing.assert_array_equal(was, now)


def test_two_writings_are_the_same_bytes(tmp_path, rng):
    network = _network(rng)
    for name in ("a.npz", "b.npz"):
        save_network(tmp_path / name, network)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_tensors_are_saved_as_what_they_hold(tmp_path, rng):
    torch = pytest.importorskip("torch")
    network = _network(rng)
    as_tensors = replace(
        network,
        weights=tuple(map(torch.asarray, network.weights)),
        biases=tuple(map(torch.asarray, network.biases)),
    )
    save_network(tmp_path / "net.npz", as_tensors)
    np.testing.assert_array_equal(load_network(tmp_path / "net.npz").weights[1], network.weights[1])


def test_a_failed_writing_leaves_the_old_file(path, rng, monkeypatch):
    before = path.read_bytes()

    def breaks(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", breaks)
    with pytest.raises(KeyboardInterrupt):
        save_network(path, _network(rng))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_nothing_in_the_file_is_pickled(path):
    assert all(array.dtype != object for array in _members(path).values())
    assert {"W_1", "W_4", "b_1", "b_4", "activations", "n_inputs", "version"} <= set(_members(path))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_is_noticed(path, place):
    """By the checksum of the archive: weights that were changed are never used."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("W_1.npy").header_offset
        size = archive.getinfo("W_1.npy").file_size
    content[start + 60 + int(place * size)] ^= 1
    path.write_bytes(content)
    assert "cannot be read" in _refusal(path)


def test_a_truncated_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be read" in _refusal(path)


def test_files_of_other_kinds_are_refused(path):
    path.write_text("weights, honestly")
    assert "cannot be read" in _refusal(path)
    np.savez(path, arr_0=np.eye(3))
    assert "it has no 'format'" in _refusal(path)
    path.unlink()
    assert "no such file" in _refusal(path)
    path.mkdir()
    assert "cannot be read" in _refusal(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("format", np.array("a cooking recipe"), "a cooking recipe"),
        ("version", np.array(2), "version is 2"),
        ("activations", np.array(["leaky_relu", "asinh", "tanh", "relu"]), "'relu'"),
        ("activations", np.array(["asinh", "asinh", "tanh"]), "W_4"),
        ("smallest_slopes", np.array([1.5, 0.0, 0.0, 1.0]), "1.5"),
        ("W_2", np.ones((7, 99)), "reads 99 units"),
        ("W_2", np.full((7, 7), np.nan), "nan"),
        ("W_2", np.full((7, 7), "one"), "W of layer 2"),
        ("b_1", np.ones(3), "bias of layer 1"),
        ("n_outputs", np.array(40), "40 output units"),
        ("n_inputs", np.array([9, 9]), "size 1"),
        ("n_inputs", np.array(np.inf), "infinity"),
        ("n_outputs", np.array(np.inf), "infinity"),
        ("version", np.array(np.nan), "version is nan"),
    ],
)
def test_what_is_no_network_is_refused(path, name, value, words):
    members = _members(path) | {name: value}
    if name == "activations" and len(value) == 3:
        members["smallest_slopes"] = np.zeros(3)
    np.savez(path, **members)
    assert words in _refusal(path)


def test_pickled_arrays_are_never_unpickled(path):
    members = _members(path) | {"W_1": np.array([{"a": 1}], dtype=object)}
    np.savez(path, **members)
    assert "cannot be read" in _refusal(path)


def test_what_cannot_be_saved_is_refused(tmp_path, rng):
    network = _network(rng)
    with pytest.raises(CircuitError, match="npz"):
        save_network(tmp_path / "net.txt", network)
    with pytest.raises(CircuitError, match=r"net\.npz cannot be written"):
        save_network(tmp_path / "missing" / "net.npz", network)
    own = replace(asinh(), name="softsign")
    with pytest.raises(CircuitError, match="softsign"):
        save_network(tmp_path / "net.npz", replace(network, activations=(own,) * 4))
    stack = tuple(np.stack([weights, weights]) for weights in network.weights)
    biases = tuple(np.stack([bias, bias]) for bias in network.biases)
    with pytest.raises(CircuitError, match="stack"):
        save_network(tmp_path / "net.npz", replace(network, weights=stack, biases=biases))

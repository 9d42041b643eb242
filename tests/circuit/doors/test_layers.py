"""Weights that were trained elsewhere: the same function as NumPy computes, and plain refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from circuit.doors.condition import ill_conditioned
from circuit.errors import CircuitError, IllConditioned, NotFinite, ShapeMismatch
from circuit.network import Network, forward
from circuit.units.asinh import asinh


@pytest.fixture
def weights(rng):
    """Of a network 6-9-4-3: a layer that widens, and two that narrow."""
    return [rng.standard_normal((9, 6)), rng.standard_normal((4, 9)), rng.standard_normal((3, 4))]


@pytest.fixture
def biases(rng):
    """One for each layer."""
    return [rng.standard_normal(9), rng.standard_normal(4), rng.standard_normal(3)]


UNITS = {
    "linear": lambda h: h,
    "identity": lambda h: h,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "relu": lambda h: np.where(h > 0, h, 0.01 * h),
}


def expected(weights, biases, functions, inputs):
    """The forward pass, in NumPy."""
    rates = inputs
    for W, b, f in zip(weights, biases, functions, strict=True):
        rates = f(rates @ W.T + b)
    return rates


@pytest.mark.parametrize("name", UNITS)
def test_the_network_computes_what_its_layers_say(weights, biases, rng, name):
    network = Network.from_layers(weights, biases, (name, name, "linear"))
    assert network.widths == (6, 9, 4, 3)
    inputs = rng.standard_normal((5, 6))
    wanted = expected(weights, biases, (UNITS[name], UNITS[name], lambda h: h), inputs)
    np.testing.assert_allclose(forward(network, inputs).rates[-1], wanted, rtol=1e-13)


def test_logistic_units_become_tanh_and_no_output_changes(weights, biases, rng):
    """Two layers of them, so that halves and offsets go through one another."""

    def logistic(h):
        return 1 / (1 + np.exp(-h))

    network = Network.from_layers(weights, biases, ("logistic", "sigmoid", "linear"))
    inputs = rng.standard_normal((5, 6))
    wanted = expected(weights, biases, (logistic, logistic, lambda h: h), inputs)
    activity = forward(network, inputs)
    np.testing.assert_allclose(activity.rates[-1], wanted, rtol=1e-13)
    hidden = logistic(inputs @ weights[0].T + biases[0])
    np.testing.assert_allclose((1 + activity.rates[1]) / 2, hidden, rtol=1e-13)
    assert len(network.notes) == 1
    assert "tanh" in network.notes[0]


def test_a_logistic_output_becomes_2_p_minus_1(weights, biases, rng):
    network = Network.from_layers(weights, biases, ("tanh", "tanh", "logistic"))
    inputs = rng.standard_normal((5, 6))
    drive = expected(weights, biases, (np.tanh, np.tanh, lambda h: h), inputs)
    wanted = 2 / (1 + np.exp(-drive)) - 1
    np.testing.assert_allclose(forward(network, inputs).rates[-1], wanted, rtol=1e-12)
    assert "2 p - 1" in network.notes[-1]


def test_relu_is_leaky_with_a_slope_that_is_said(weights, rng):
    network = Network.from_layers(weights, activations=("relu", "relu", "linear"), relu_slope=0.2)
    assert network.activation(1).smallest_slope == 0.2
    assert "slope 0.2" in network.notes[0]
    assert not np.any(network.biases[1])


def test_one_activation_serves_all_layers_and_a_record_of_ones_own_too(weights):
    network = Network.from_layers(weights, activations=asinh())
    assert [unit.name for unit in network.activations] == ["asinh"] * 3
    assert network.notes == ()


def test_lists_half_precision_and_outputs_without_target():
    rows = [[[1, 0], [0, 2], [1, 1]], [[1, 2, 3], [0, 1, 0]]]
    network = Network.from_layers(rows, [[0, 0, 1], [1, 1]], "linear", n_outputs=1)
    assert (network.weights[0].dtype, network.n_outputs) == (np.float64, 1)
    np.testing.assert_array_equal(forward(network, np.array([[1.0, 1.0]])).rates[-1], [[15, 3]])
    half = Network.from_layers([np.ones((2, 3), np.float16)], activations="linear")
    assert half.weights[0].dtype == np.float32


def test_weights_of_the_other_order_are_told_from_shapes_that_never_fit(rng):
    columns = [rng.random((6, 9)), rng.random((9, 4))]
    with pytest.raises(ShapeMismatch, match=r"give them transposed"):
        Network.from_layers(columns)
    with pytest.raises(ShapeMismatch, match="reads 8 units of the 9 below|reads 10 units"):
        Network.from_layers([rng.random((9, 6)), rng.random((4, 10))])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((2, 2)),), "give a list of matrices"),
        (([],), "give a list of matrices"),
        (([[["a", "b"]]],), "give an array of numbers"),
        (([np.ones(3)],), "give one matrix for each layer"),
        (([np.ones((2, 3))], [np.ones(2), np.ones(2)]), "2 biases for 1 weights"),
        (([np.ones((2, 3))], 0.0), "0.0 biases for 1 weights"),
        (([np.ones((2, 3))], [np.ones(3)]), r"has shape \(3,\); it needs 2 entries"),
        (([np.ones((2, 3))], [np.ones(1)]), r"has shape \(1,\); it needs 2 entries"),
        (([np.ones((2, 3))], [np.ones((2, 2))], "logistic"), "it needs 2 entries"),
        (([np.ones((2, 3))], None, ("tanh", "tanh")), "2 activations for 1 layers"),
        (([np.ones((2, 3))], None, "gelu"), "activation 'gelu' is unknown; choose from"),
        (([np.ones((2, 3)), np.ones((2, 2))], None, ("softmax", "linear")), "softmax at the out"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(arguments, words):
    with pytest.raises(CircuitError, match=words) as refusal:
        Network.from_layers(*arguments)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("slope", ["steep", None, 0.0, np.nan])
def test_a_slope_that_is_none_is_refused(slope):
    with pytest.raises(CircuitError, match=r"relu_slope = |slope .* is not between 0 and 1"):
        Network.from_layers([np.ones((2, 3))], activations="relu", relu_slope=slope)


def test_a_weight_that_is_not_finite_is_refused():
    with pytest.raises(NotFinite, match="W of layer 1"):
        Network.from_layers([np.array([[1.0, np.nan]])])


def with_condition(condition, rng):
    """Square weights with that ratio of singular values, in layer 2."""
    left, right = (np.linalg.qr(rng.standard_normal((5, 5)))[0] for _ in range(2))
    values = np.geomspace(1, 1 / condition, 5)
    return [rng.standard_normal((5, 7)), left * values @ right]


def test_weights_near_singular_are_warned_of(rng):
    """From eps^-0.36 on: 2.2e-16 ** -0.36 is 4.3e5."""
    with pytest.warns(IllConditioned, match="layer 2 has a condition number of 5.0e"):
        network = Network.from_layers(with_condition(5e5, rng), activations="linear")
    assert network.notes == (ill_conditioned(network.factors),)
    fine = Network.from_layers(with_condition(4e5, rng), activations="linear")
    assert fine.notes == ()


def test_the_first_layer_is_never_inverted_and_never_warned_of(rng):
    W = with_condition(1e9, rng)[1]
    assert Network.from_layers([W, np.eye(5)], activations="linear").notes == ()


def test_names_of_units_may_be_an_array_or_a_column(weights, biases, rng):
    names = ("tanh", "asinh", "linear")
    inputs = rng.standard_normal((5, 6))
    wanted = forward(Network.from_layers(weights, biases, names), inputs).rates[-1]
    for given in (np.array(names), pd.Series(names)):
        found = forward(Network.from_layers(weights, biases, given), inputs).rates[-1]
        np.testing.assert_array_equal(found, wanted)


def test_a_mask_is_not_lost(weights):
    masked = [np.ma.masked_array(weights[0], weights[0] > 1), *weights[1:]]
    with pytest.raises(CircuitError, match=r"W of layer 1 is a masked array") as caught:
        Network.from_layers(masked)
    assert "\n" not in str(caught.value)

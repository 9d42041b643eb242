"""Inputs as people have them: what is taken becomes the plain array that it stands for; what would
be misread is refused in one line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr

from circuit import (
    Circuit,
    CircuitError,
    Network,
    ShapeMismatch,
    Trial,
    begin,
    build_circuit,
    forward,
    initialise,
    output_error,
    settle,
    updates,
)
from circuit.errors import Rounded
from circuit.feedback import PATHWAYS
from circuit.initialisation.weights import gaussian
from circuit.labels import one_hot
from circuit.learning import Lesson, begin_learning, learn
from circuit.rules import back_propagation

RNG = np.random.default_rng(8)
NETWORK = initialise([6, 5, 4], 3)
INPUTS, TARGETS = RNG.random((7, 6)), RNG.random((7, 4))

WAYS = {
    "list": lambda array: array.tolist(),
    "tuple": lambda array: tuple(map(tuple, array.tolist())),
    "DataFrame": pd.DataFrame,
    "DataArray": lambda array: xr.DataArray(array, dims=("sample", "unit")),
    "memmap": lambda array: np.asarray(array).view(np.memmap),
    "Quantity": lambda array: quantity(array),  # noqa: PLW0108 - defined below,
}


def quantity(values, **powers):
    """What Brian2's quantities offer (see tests/circuit/test_given.py)."""

    class Offered(np.ndarray):
        dim = SimpleNamespace(get_dimension=lambda unit: powers.get(unit, 0))

    return np.asarray(values, float).view(Offered)


@pytest.mark.parametrize("way", WAYS)
def test_inputs_and_targets_are_the_arrays_that_they_hold(way):
    circuit = build_circuit(NETWORK)
    wanted = begin(circuit, INPUTS, TARGETS)
    got = begin(circuit, WAYS[way](INPUTS), WAYS[way](TARGETS))
    np.testing.assert_array_equal(got.error, wanted.error, strict=True)
    assert type(got.error) is type(got.activity.rates[0]) is np.ndarray
    record, other = settle(got), settle(wanted)
    for one, two in zip(
        updates(NETWORK, got.activity, record.shifts),
        updates(NETWORK, wanted.activity, other.shifts),
        strict=True,
    ):
        np.testing.assert_array_equal(one.weights, two.weights)
    error = WAYS[way](wanted.error)
    np.testing.assert_array_equal(
        back_propagation(NETWORK, wanted.activity, error).values[0],
        back_propagation(NETWORK, wanted.activity, wanted.error).values[0],
    )
    np.testing.assert_array_equal(
        output_error(NETWORK, wanted.activity, WAYS[way](TARGETS)),
        TARGETS - wanted.activity.rates[-1],
    )
    _, step = learn(begin_learning(NETWORK), Lesson(), WAYS[way](INPUTS), WAYS[way](TARGETS))
    half = 0.5 * np.sum((TARGETS - wanted.activity.rates[-1]) ** 2, axis=1).mean()
    assert float(step.loss) == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_weights_and_biases_are_the_arrays_that_they_hold(way):
    biases = [RNG.random(5), RNG.random(4)]
    by_series = (
        [pd.Series(b) for b in biases] if way == "DataFrame" else [b.tolist() for b in biases]
    )
    network = Network([WAYS[way](w) for w in NETWORK.weights], by_series, "asinh", 6, 4)
    for layer in (1, 2):
        np.testing.assert_array_equal(network.weights[layer - 1], NETWORK.weights[layer - 1])
        assert type(network.weights[layer - 1]) is type(network.biases[0]) is np.ndarray
    rates = INPUTS
    for weights, bias in zip(NETWORK.weights, biases, strict=True):
        rates = np.arcsinh(rates[:, : len(bias)] @ weights.T + bias)
    np.testing.assert_allclose(forward(network, INPUTS).rates[-1], rates, rtol=1e-13)


def test_lists_of_whole_numbers_are_numbers():
    network = Network([[[2, 1], [0, 1]]], [[0, 1]], "linear", 2, 2)
    assert forward(network, [[1, 2], [3, 4]]).rates[1].tolist() == [[4.0, 3.0], [10.0, 5.0]]


def test_parameters_of_a_module_lose_their_gradients():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(5, 5, dtype=torch.float64)
    network = Network([layer.weight], [layer.bias], "linear", 5, 5)
    assert not network.weights[0].requires_grad
    assert type(network.weights[0]) is torch.Tensor
    wanted = layer(torch.ones(2, 5, dtype=torch.float64)).detach()
    got = forward(network, np.ones((2, 5)).tolist()).rates[1]  # in the library of the weights
    torch.testing.assert_close(got, wanted)
    trial = begin(build_circuit(network), torch.ones(2, 5, dtype=torch.float64), [1, 4])
    torch.testing.assert_close(
        trial.error, torch.eye(5, dtype=torch.float64)[torch.tensor([1, 4])] - wanted
    )
    assert settle(trial).converged


def test_float64_for_float32_is_rounded_and_said():
    network = initialise([6, 5, 4], 3, dtype="float32")
    circuit = build_circuit(network)
    with pytest.warns(Rounded, match="inputs of float64 are rounded to float32"):
        trial = begin(circuit, INPUTS, TARGETS.astype("f4"))
    np.testing.assert_array_equal(trial.activity.rates[0], INPUTS.astype("f4"), strict=True)
    with pytest.warns(Rounded, match="targets of float64 are rounded"):
        begin(circuit, INPUTS.astype("f4"), TARGETS)
    exact = np.round(INPUTS * 16) / 16  # nothing is lost, so that nothing is said
    assert begin(circuit, exact, np.eye(4)[[0, 1, 2, 3, 0, 1, 2]]).error.dtype == np.float32
    with pytest.raises(ShapeMismatch, match="inputs have dtype float32, the weights float64"):
        forward(NETWORK, INPUTS.astype("f4"))  # which would claim digits that they do not have


def refusals():
    masked = np.ma.masked_greater(INPUTS, 0.9)
    volt = {"kilogram": 1, "metre": 2, "second": -3, "ampere": -1}
    return [
        (masked, "is a masked array"),
        (np.matrix(INPUTS), r"is a np\.matrix; give np\.asarray"),
        (quantity(INPUTS, **volt), "is not a number without unit"),
        (quantity(INPUTS, second=1), "is not a number without unit"),
        (scipy.sparse.csr_array(INPUTS), r"is sparse; give a dense array, such as \.toarray"),
        (INPUTS.astype(str).tolist(), "has dtype <U"),
        (pd.DataFrame(INPUTS).assign(name="x"), "has dtype object"),
        ([[1.0, 2.0], [3.0]], "is no array"),
        ("images.npy", "= 'images.npy' is no array; give an array of numbers"),
        ({"a": 1}, "is no array"),
        (INPUTS > 0.5, "dtype bool"),
        (INPUTS + 1j, "dtype complex128"),
        ((255 * INPUTS).astype("u1"), "dtype uint8"),
    ]


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("number", range(13))
def test_what_would_be_misread_is_refused_in_one_line(number):
    wrong, words = refusals()[number]
    circuit, activity = build_circuit(NETWORK), forward(NETWORK, INPUTS)
    for name, act in {
        "inputs": lambda: begin(circuit, wrong, TARGETS),
        "targets": lambda: begin(circuit, INPUTS, wrong),
        "the output error": lambda: back_propagation(NETWORK, activity, wrong),
        "W of layer 1": lambda: replace(NETWORK, weights=(wrong, NETWORK.weights[1])),
        "bias of layer 2": lambda: replace(NETWORK, biases=(NETWORK.biases[0], wrong)),
    }.items():
        with pytest.raises(CircuitError) as refusal:
            act()
        said = str(refusal.value)
        assert "\n" not in said
        assert len(said) < 250
        if "dtype" in words:  # each place has words of its own for the type that it needs
            assert words.replace("has ", "") in said or "shape" in said or "6 units" in said
        else:
            assert re.search(words, said), said
            assert said.startswith(name)


# ---- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, lambda x: np.array(x, "u1")])
def test_labels_stand_for_one_hot_targets(kind):
    labels = [3, 0, 1, 1, 2, 3, 0]
    trial = begin(build_circuit(NETWORK), INPUTS, kind(labels))
    wanted = np.zeros((7, 4))
    for sample, label in enumerate(labels):
        wanted[sample, label] = 1
    np.testing.assert_array_equal(
        trial.target, wanted - trial.activity.rates[-1] + trial.activity.rates[-1]
    )
    np.testing.assert_array_equal(one_hot(kind(labels), 4), wanted, strict=True)
    narrow = one_hot(kind(labels), 4, "float32")
    np.testing.assert_array_equal(narrow, wanted.astype("f4"), strict=True)


def test_classes_by_name_keep_their_order():
    coded = one_hot(["dog", "cat", "dog"], ["dog", "emu", "cat"])
    assert coded.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert one_hot([7, 5], [5, 7]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        (np.eye(4), 4, "look one-hot already"),
        ([[0, 1], [1, 0]], 2, "look one-hot already"),
        (np.ones((3, 2)), 2, r"labels have shape \(3, 2\); give one label"),
        ([0, 4], 4, r"label 4 of sample 1 is none of the 4 classes \(0 to 3\)"),
        ([0, -1], 4, "label -1 of sample 1 is none"),
        ([0.0, 1.0], 2, "labels have dtype float64; give whole numbers"),
        (["a", "b"], 2, "labels have dtype"),
        (["a", "c"], ["a", "b"], "label 'c' of sample 1 is none of the 2 classes"),
        ([0], [1, 1], "each of them once"),
        ([0], [], "each of them once"),
        (3, 4, r"labels have shape \(\)"),
    ],
)
def test_labels_of_no_class_are_refused(labels, classes, words):
    with pytest.raises(CircuitError, match=words) as refusal:
        one_hot(labels, classes)
    assert "\n" not in str(refusal.value)


def test_begin_refuses_labels_of_no_output():
    with pytest.raises(CircuitError, match="label 4 of sample 1 is none of the 4 classes"):
        begin(build_circuit(NETWORK), INPUTS, [0, 4, 0, 0, 0, 0, 0])
    with pytest.raises(ShapeMismatch, match=r"targets have shape \(3,\)"):
        begin(build_circuit(NETWORK), INPUTS, [0, 1, 2])


# ---- seeds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 5, np.int64(5), np.uint8(5)])
def test_a_seed_stands_for_its_generator(seed):
    by_seed = initialise([6, 5, 4], seed, init="gaussian")
    generator = np.random.default_rng(int(seed))
    for got, width in zip(by_seed.weights, (5, 4), strict=True):
        np.testing.assert_array_equal(got, gaussian(width, generator))


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1", None, np.random.RandomState(1)])
def test_what_is_no_seed_is_refused(wrong):
    with pytest.raises(CircuitError, match="draws no random numbers; give a seed of 0 or more"):
        initialise([6, 5, 4], wrong)


# ---- construction -----------------------------------------------------------------------------


def test_errors_of_construction_come_at_construction():
    trial = begin(build_circuit(NETWORK), INPUTS, TARGETS)
    circuit, gait = trial.circuit, PATHWAYS["gait"]
    for act, words in (
        (lambda: Circuit(None, gait, (0.1,) * 2, (0.01,) * 2), "network = None is no Network"),
        (lambda: Circuit(NETWORK, "gait", (0.1,) * 2, (0.01,) * 2), "pathway = 'gait' is no Gain"),
        (lambda: Circuit(NETWORK, gait, (0.1,) * 3, (0.01,) * 2), "3 feedback strengths for 2"),
        (lambda: Circuit(NETWORK, gait, (0.1, 1.5), (0.01,) * 2), "outside"),
        (lambda: Circuit(NETWORK, gait, (0.1,) * 2, (0.01, -1)), "give one or 2 positive"),
        (lambda: replace(circuit, strengths=(0.1, "x")), "is not a number"),
        (lambda: Trial(None, trial.activity, trial.error), "circuit = None is no Circuit"),
        (lambda: Trial(circuit, None, trial.error), "is no Activity"),
        (lambda: Trial(circuit, trial.activity, trial.error[:, :3]), "the error has shape"),
        (lambda: Trial(circuit, trial.activity, trial.error[:5]), "the error has shape"),
        (lambda: begin(NETWORK, INPUTS, TARGETS), "is no Circuit; give one"),
        (lambda: build_circuit(circuit), "is no Network; give one"),
        (lambda: forward(circuit, INPUTS), "is no Network; give one"),
        (lambda: settle(circuit), "trial = Circuit.* is no Trial; give one"),
    ):
        with pytest.raises(CircuitError, match=words) as refusal:
            act()
        assert "\n" not in str(refusal.value)
    assert Circuit(NETWORK, gait, [0.1, np.float32(0.5)], 0.01).strengths == (0.1, 0.5)

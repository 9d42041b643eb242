"""Feedback through the pseudo-inverse of weights of any shape, and what takes the place of N^2.

The oracles are the gradient by complex steps, numpy.linalg.pinv loop by loop, and two theorems: of
a matrix with orthogonal rows the pseudo-inverse is W^T N^-2; of rows W above rows V that are
orthogonal to them the inverse is [W^+, V^+].
"""

from __future__ import annotations

import numpy as np
import pytest

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.feedback import GRADIENT_ADJUSTED
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learned_inverse.inverse_model import InverseModel, pseudo_inverse_model
from circuit.learned_inverse.model import (
    inverse_error,
    practised,
    propagate_learned,
    random_model,
)
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.learning.taught import settled_of, teach
from circuit.network import Network, forward
from circuit.plasticity import updates
from circuit.rules import RULES, propagate_targets
from circuit.settings.learned_inverse import PSEUDO
from circuit.units.leaky_relu import leaky_relu
from models.run_training import main
from tests.circuit.test_row_adjusted import gradients
from tests.commands import refusal

NARROWING = (9, 7, 6, 4)
WIDENING = (5, 6, 8, 4)


def network_of(widths, rng, init="unequal_rows"):
    """Layers that read all units below."""
    network = initialise(widths, rng, init=init, auxiliary=False)
    biases = tuple(0.3 * rng.standard_normal(n) for n in widths[1:])
    return Network(network.weights, biases, network.activations, widths[0], widths[-1])


def task(network, rng, size=1e-7, batch=5):
    """A forward pass and an error so small that no unit crosses its kink."""
    activity = forward(network, rng.standard_normal((batch, network.n_inputs)))
    return activity, size * rng.standard_normal((batch, network.n_outputs))


def gap(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def through_pseudo_inverse(rule, network, activity, error, gamma=0.01):
    return propagate_learned(rule, network, pseudo_inverse_model(network), activity, error, gamma)


def test_grait_through_the_pseudo_inverse_is_the_gradient(rng):
    """Rectangular weights with orthogonal rows of unequal lengths; Eq. 16 as printed is not, nor is
    GRAIT-prop where rows are not orthogonal.
    """
    for init, rule, agrees in (
        ("unequal_rows", "grait", True),
        ("unequal_rows", "gait", False),
        ("gaussian", "grait", False),
    ):
        network = network_of(NARROWING, np.random.default_rng(1), init)
        activity, error = task(network, rng)
        shifts = through_pseudo_inverse(rule, network, activity, error)
        changes = updates(network, activity, shifts)
        wanted = gradients(network, activity.rates[0], error)
        for change, exact in zip(changes[:-1], wanted[:-1], strict=True):
            assert (
                gap(change.weights, exact) < 1e-12 if agrees else gap(change.weights, exact) > 0.2
            )


@pytest.mark.parametrize("widths", [NARROWING, WIDENING])
@pytest.mark.parametrize("rule", ["tp", "itp", "gait", "grait"])
def test_rules_through_the_pseudo_inverse_image_by_image(rule, widths, rng):
    """Eqs. 5, 12, 17 with W^+ of NumPy, kinks crossed, widths narrowing or not."""
    network = network_of(widths, rng, "gaussian")
    activity, error = task(network, rng, size=0.5)
    gamma = 0.2
    found = through_pseudo_inverse(rule, network, activity, error, gamma)
    for image in range(5):
        delta = error[image]
        for layer in range(3, 1, -1):
            np.testing.assert_allclose(found.absolute(layer)[image], delta, rtol=1e-9, atol=1e-13)
            h, W = activity.drives[layer - 1][image], network.weights[layer - 1]
            A, y = np.where(h > 0, 1.0, 0.1), np.where(h > 0, h, 0.1 * h)
            N2 = np.array([sum(v * v for v in row) for row in W])
            gain = {"tp": 1.0, "itp": gamma, "gait": gamma * A**2, "grait": gamma * A**2 * N2}
            moved = y + gain[rule] * delta
            pre = np.where(moved > 0, moved, 10 * moved)
            delta = np.linalg.pinv(W) @ (pre - h)
        np.testing.assert_allclose(found.absolute(1)[image], delta, rtol=1e-9, atol=1e-13)


def padded(network, rng, kind):
    """The same network with square weights: auxiliary units below each layer above the first, whose
    rows are orthogonal to those of W, or Gaussian.
    """
    weights, biases = [network.weights[0]], [network.biases[0]]
    for layer in range(1, network.depth):
        W = network.weights[layer]
        missing = W.shape[1] - W.shape[0]
        rows = rng.standard_normal((missing, W.shape[1]))
        if kind == "orthogonal":  # to W; among themselves anything
            basis = np.linalg.svd(W)[2][len(W) :]
            rows = rng.standard_normal((missing, missing)) @ basis
        weights.append(np.concatenate([W, rows]))
        biases.append(np.concatenate([network.biases[layer], rng.standard_normal(missing)]))
    units = (leaky_relu(),) * network.depth
    return Network(tuple(weights), tuple(biases), units, network.n_inputs, network.n_outputs)


def test_auxiliary_units_are_the_pseudo_inverse_if_their_rows_are_orthogonal_to_the_others(rng):
    """[W; V]^-1 = [W^+, V^+] for W V^T = 0. Gaussian padding answers otherwise, from the same W."""
    network = network_of(NARROWING, rng, "gaussian")
    activity, error = task(network, rng)
    for rule in ("itp", "gait", "grait"):
        wanted = through_pseudo_inverse(rule, network, activity, error)
        for kind in ("orthogonal", "gaussian"):
            wide = padded(network, rng, kind)
            found = RULES[rule](wide, forward(wide, activity.rates[0]), error, 0.01)
            for layer in (1, 2):
                n = network.widths[layer]
                away = gap(found.per_gain(layer)[:, :n], wanted.per_gain(layer))
                assert away < 1e-10 if kind == "orthogonal" else away > 0.1


def test_circuit_through_the_pseudo_inverse_carries_the_gradient(rng):
    """Its mismatch is back-propagation at weak feedback; rows orthogonal, shapes rectangular."""
    network = network_of(NARROWING, rng)
    activity, error = task(network, rng)
    circuit = build_circuit(network, "grait", 1e-4, feedback="pseudo-inverse")
    found = settle(begin(circuit, activity.rates[0], activity.rates[-1] + error))
    changes = updates(network, activity, found.read_out("mismatch"))
    for change, exact in zip(changes, gradients(network, activity.rates[0], error), strict=True):
        assert gap(change.weights, exact) < 1e-6  # of second order in gamma


def test_what_takes_the_place_of_the_squared_lengths(rng):
    """N^2 = <w, b> / <b, b>: the best diagonal for B N^2 = W^T, by least squares of NumPy; N^2 of
    the rows for the inverse of orthogonal ones, N^2 / s for s times it, 1 for W^T, 0 for nothing.
    """
    network = initialise((6, 6, 5), rng, init="unequal_rows", auxiliary=False)
    (W,) = network.weights[1:]
    B = rng.standard_normal((6, 5))

    def lengths(back):
        return InverseModel((back,), (np.zeros(6),)).squared_lengths(network, 2)

    for i in range(5):
        (best,), *_ = np.linalg.lstsq(B[:, i : i + 1], W[i], rcond=None)
        assert lengths(B)[i] == pytest.approx(best, rel=1e-12)
    rows = np.sum(W**2, axis=1)
    np.testing.assert_allclose(lengths(np.linalg.pinv(W)), rows, rtol=1e-12)
    np.testing.assert_allclose(lengths(0.3 * np.linalg.pinv(W)), rows / 0.3, rtol=1e-12)
    np.testing.assert_allclose(lengths(W.T), 1, rtol=1e-14)
    np.testing.assert_array_equal(lengths(0 * B), 0)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_grait_through_a_shrunk_inverse_or_the_transpose_is_the_gradient(scale, rng):
    """As a learned inverse may be: N^2 undoes the scale. B = W^T needs no orthogonal rows."""
    for init, back in (("unequal_rows", np.linalg.pinv), ("gaussian", np.transpose)):
        network = network_of(NARROWING, rng, init)
        model = InverseModel(
            tuple(scale * back(W) for W in network.weights[1:]),
            tuple(np.zeros(n) for n in network.widths[1:-1]),
        )
        activity, error = task(network, rng)
        shifts = propagate_learned("grait", network, model, activity, error, 0.01)
        changes = updates(network, activity, shifts)
        wanted = gradients(network, activity.rates[0], error)
        for change, exact in zip(changes, wanted, strict=True):
            assert gap(change.weights, exact) < 1e-12


def test_a_learned_inverse_of_unequal_rows_needs_the_lengths(rng):
    """After some practice it is W^-1 to a few percent, whose transpose GRAIT-prop makes of it."""
    network = initialise((12,) * 5, rng, init="unequal_rows")
    model = random_model(network, np.array(1))
    for step in range(300):
        practised_on = forward(network, rng.standard_normal((60, 12)))
        model = practised(model, network, practised_on, LearnedInverse(), np.array(1), step)
    assert max(float(inverse_error(network, model, layer)) for layer in (2, 3, 4)) < 0.05
    activity, error = task(network, rng, batch=30)
    wanted = gradients(network, activity.rates[0], error)[0]
    gaps = {}
    for rule in ("gait", "grait"):
        shifts = propagate_learned(rule, network, model, activity, error, 0.01)
        gaps[rule] = gap(updates(network, activity, shifts)[0].weights, wanted)
    assert gaps["grait"] < 0.1
    assert gaps["gait"] > 0.5


# --- counterparts: orthogonal columns, and any weights ---


def test_orthogonal_columns_ask_the_receiver_for_the_lengths(rng):
    """W^T W = C^2: W^T = C^2 W^+, so a receiver multiplies by its own sum of squared outgoing
    weights, which is one over that of its incoming feedback weights. Weights may widen.
    """
    network = network_of((5, 5, 7, 9), rng, "orthogonal")
    weights = tuple(rng.uniform(0.5, 2, W.shape[1]) * W for W in network.weights)
    network = Network(weights, network.biases, network.activations, 5, 9)
    activity, error = task(network, rng)
    backs = [None, *(np.linalg.pinv(W) for W in weights[1:])]

    def adjusted(layer, drives):
        back = backs[layer - 1]
        return (drives @ back.T) / np.sum(back**2, axis=1)

    def plain(layer, drives):
        return drives @ backs[layer - 1].T

    wanted = gradients(network, activity.rates[0], error)
    for pull, agrees in ((adjusted, True), (plain, False)):
        shifts = propagate_targets(GRADIENT_ADJUSTED, network, activity, error, 0.01, pull=pull)
        changes = updates(network, activity, shifts)
        for change, exact in zip(changes[:-1], wanted[:-1], strict=True):
            assert (
                gap(change.weights, exact) < 1e-12 if agrees else gap(change.weights, exact) > 0.2
            )


@pytest.mark.parametrize("widths", [NARROWING, WIDENING])
def test_any_weights_ask_for_their_gram_matrix(widths, rng):
    """W^T = W^+ (W W^T) for every W: epsilon = gamma D D^T with D = A W, of which A^2 N^2 is the
    diagonal. D D^T is the covariance of the units' answers to white noise in the layer below.
    """
    network = network_of(widths, rng, "gaussian")
    activity, error = task(network, rng)

    def pull(layer, drives):
        W = network.weights[layer - 1]
        return (drives @ (W @ W.T)) @ np.linalg.pinv(W).T

    shifts = propagate_targets(GRADIENT_ADJUSTED, network, activity, error, 0.01, pull=pull)
    wanted = gradients(network, activity.rates[0], error)
    for change, exact in zip(updates(network, activity, shifts), wanted, strict=True):
        assert gap(change.weights, exact) < 1e-10
    noise = rng.standard_normal((200_000, widths[0]))
    W, h = network.weights[0], activity.drives[0][0]
    D = np.where(h > 0, 1.0, 0.1)[:, None] * W
    variances = np.var(noise @ D.T, axis=0)
    rows = np.where(h > 0, 1.0, 0.01) * network.squared_lengths(1)
    # a variance from so many samples is off by sqrt(2 / 200000), relatively; five of them
    np.testing.assert_allclose(variances, rows, rtol=5 * (2 / 200_000) ** 0.5)


# --- learning ---


@pytest.mark.parametrize("rule", ["grait", "circuit"])
def test_learning_goes_through_the_pseudo_inverse(rule, rng):
    """Weights that narrow and widen, step by step; the first step's teaching is the rule's."""
    network = network_of((6, 4, 5, 3), rng)
    lesson = Lesson(rule, pathway="grait", inverse=PseudoInverse(), feedback_strength=1e-4)
    inputs, targets = rng.standard_normal((8, 6)), rng.random((8, 3))
    activity = forward(network, inputs)
    signal = teach(network, lesson, activity, targets)
    shifts, mask = signal.shifts, settled_of(signal, targets)
    wanted = through_pseudo_inverse("grait", network, activity, targets - activity.rates[-1], 1e-4)
    assert mask is None or mask.all()
    for layer in (1, 2, 3):
        assert gap(shifts.per_gain(layer), wanted.per_gain(layer)) < (
            1e-12 if mask is None else 1e-2
        )
    learner = begin_learning(network, lesson)
    for _ in range(3):
        learner, _ = learn(learner, lesson, inputs, targets)
    assert learner.companions == {}


@pytest.mark.parametrize("rule", ["grait", "circuit"])
def test_the_command_offers_it_under_both_names_and_in_a_file(rule, tmp_path):
    """Widths that narrow and widen; --feedback, its key in TOML, and --inverse are one option."""
    short = "--rule RULE --widths 64 20 24 10 --epochs 1 --train-images 90 --measure-every 0"
    words = [*short.replace("RULE", rule).split(), "--no-figures", "--quiet"]
    (tmp_path / "run.toml").write_text('feedback = "pseudo-inverse"\n', encoding="utf-8")
    histories = []
    for name, more in (
        ("one", ["--feedback", PSEUDO]),
        ("two", ["--inverse", PSEUDO]),
        ("three", ["--config", str(tmp_path / "run.toml")]),
        ("other", ["--inverse", "learned"]),
    ):
        assert main([*words, *more, "--output", str(tmp_path / name)]) == 0
        histories.append(np.load(tmp_path / name / "weights_seed1_end.npz")["W_2"])
    for same in histories[1:3]:
        np.testing.assert_array_equal(same, histories[0])
    assert np.abs(histories[3] - histories[0]).max() > 1e-4


def test_bad_pseudo_inverse_lessons_are_refused():
    with pytest.raises(CircuitError, match="goes through no inverse"):
        Lesson("bp", inverse=PseudoInverse())


def test_a_pseudo_inverse_has_nothing_to_correct(tmp_path, capsys):
    words = ["--inverse", PSEUDO, "--correction", "no", "--output", str(tmp_path)]
    assert "--correction would do nothing with --inverse pseudo" in refusal(capsys, main, *words)

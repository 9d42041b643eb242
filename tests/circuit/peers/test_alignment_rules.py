"""Feedback alignment, direct feedback alignment, sign symmetry: their limits, loops, statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.model import WEIGHTS
from circuit.losses import output_error
from circuit.network import forward
from circuit.peers import dfa, fa, sign, signal_updates
from circuit.peers.dfa import DIRECT
from circuit.rules import RULES
from tests.circuit.peers.feedback_tasks import KEY, cosine, signal_of, stacked, task
from tests.literal_units import LITERAL

SHAPES = {
    "rectangles": {},
    "auxiliaries": {"widths": (9, 8, 6, 6, 5), "auxiliary": True, "n_outputs": 3},
    "one layer": {"widths": (5, 4), "units": "asinh"},
}
RANDOM_RULES = (fa.RULE, dfa.RULE, sign.RULE)


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("shape", SHAPES)
def test_feedback_alignment_with_transposed_weights_is_back_propagation_to_the_bit(
    shape: str, loss: str
) -> None:
    """In values, scales and gains; with random weights it is another signal below the output."""
    network, activity, targets = given = task(**SHAPES[shape])
    transposed = {WEIGHTS: tuple(W.T for W in network.weights[1:])}
    wanted = RULES["bp"](network, activity, output_error(network, activity, targets, loss))
    found = signal_of(fa.RULE, given, transposed, loss=loss).shifts
    for one, other in zip(found.values, wanted.values, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (found.scales, found.gains) == (wanted.scales, wanted.gains)
    random = fa.RULE.companions(network, fa.RULE.settings(), KEY)
    other = signal_of(fa.RULE, given, random, loss=loss).shifts
    for layer in range(1, network.depth):
        assert cosine(other.per_gain(layer), wanted.per_gain(layer)) < 0.9
    np.testing.assert_array_equal(other.per_gain(network.depth), wanted.per_gain(network.depth))


@pytest.mark.parametrize("auxiliary", [False, True])
def test_direct_feedback_through_the_transposed_network_is_back_propagation(
    auxiliary: bool,
) -> None:
    """F_l^T of linear layers, of the units that are read; with curved units it is not."""
    widths = (9, 8, 6, 6, 5) if auxiliary else (7, 6, 8, 5, 4)
    for units, same in (("linear", True), ("tanh", False)):
        network, activity, targets = given = task(widths, units, auxiliary=auxiliary, n_outputs=3)
        above, direct = np.eye(widths[-1])[:3], []
        for layer in range(network.depth - 1, 0, -1):
            W = network.weights[layer]
            above = above[:, : len(W)] @ W
            direct.insert(0, above.T)
            above = np.pad(above, ((0, 0), (0, network.widths[layer] - W.shape[1])))
        found = signal_of(dfa.RULE, given, {DIRECT: tuple(direct)}).shifts
        wanted = RULES["bp"](network, activity, output_error(network, activity, targets))
        for layer in range(1, network.depth):
            miss = np.abs(found.per_gain(layer) - wanted.per_gain(layer)).max()
            size = np.abs(wanted.per_gain(layer)).max()
            assert (miss < 1e-14 * size * 10) if same else (miss > 0.01 * size)


@pytest.mark.parametrize("rule", RANDOM_RULES, ids=lambda rule: rule.name)
def test_weight_changes_are_those_of_loops_over_images_units_and_synapses(rule) -> None:
    """Rectangles, four kinds of units, cross-entropy, magnitudes of sign symmetry random."""
    network, activity, targets = given = task(batch=3)
    settings = rule.settings(scale=1.7)
    if rule is sign.RULE:
        settings = replace(settings, magnitudes="random")
    beside = rule.companions(network, settings, KEY)
    found = signal_updates(network, signal_of(rule, given, beside, settings, "cross_entropy"))
    L = network.depth
    dW = [np.zeros(W.shape) for W in network.weights]
    for image in range(3):
        exps = [np.exp(y) for y in activity.rates[-1][image]]
        error = [targets[image, i] - exps[i] / sum(exps) for i in range(4)]
        delta = {L: error}
        for layer in range(L, 1, -1):
            below, here = network.widths[layer - 1], network.widths[layer]
            delta[layer - 1] = []
            for i in range(below):
                total = 0.0
                for j in range(here if rule is not dfa.RULE else 4):
                    if rule is dfa.RULE:
                        total += beside[DIRECT][layer - 2][i, j] * error[j]
                        continue
                    B = beside[WEIGHTS][layer - 2][i, j]
                    if rule is sign.RULE:
                        B *= 1 if network.weights[layer - 1][j, i] > 0 else -1
                    unit = LITERAL[network.activation(layer).name]
                    h = activity.drive(layer)[image, j]
                    total += B * float(unit.slope(h)) * delta[layer][j]
                delta[layer - 1].append(total)
        for layer in range(1, L + 1):
            slope = LITERAL[network.activation(layer).name].slope
            for i in range(network.widths[layer]):
                told = float(slope(activity.drive(layer)[image, i])) * delta[layer][i]
                for j in range(network.widths[layer - 1]):
                    dW[layer - 1][i, j] += told * activity.rates[layer - 1][image, j] / 3
    for change, wanted in zip(found, dW, strict=True):
        np.testing.assert_allclose(change.weights, wanted, rtol=1e-12, atol=1e-14)


def test_at_first_the_cosine_is_that_of_random_directions() -> None:
    """Of a direction drawn evenly in n dimensions with any other the square of the cosine has mean
    1 / n and variance 2 (n - 1) / (n^2 (n + 2)): 600 networks that differ in B alone.
    """
    count, widths = 600, (6, 20, 30, 12, 5)
    network, activity, targets = task(widths, batch=1)
    many = stacked([network] * count)
    images = np.broadcast_to(activity.rates[0], (count, 1, 6)).copy()
    given = (many, forward(many, images), np.broadcast_to(targets, (count, 1, 5)).copy())
    wanted = RULES["bp"](network, activity, output_error(network, activity, targets))
    for rule in (fa.RULE, dfa.RULE):
        beside = rule.companions(many, rule.settings(), np.arange(count))
        found = signal_of(rule, given, beside).shifts
        for layer in (1, 2, 3):
            n = widths[layer]
            square = cosine(found.per_gain(layer), wanted.per_gain(layer), (-2, -1)) ** 2
            spread = np.sqrt(2 * (n - 1) / (n**2 * (n + 2)) / count)
            assert abs(square.mean() - 1 / n) < 5 * spread, (rule.name, layer)


def test_random_feedback_weights_have_the_scale_that_is_stated() -> None:
    """The mean square of N normal numbers of variance s^2 is s^2 (1 +- sqrt(2 / N))."""
    network = initialise((30, 40, 50, 20), 0, auxiliary=False)
    for rule, name, columns in ((fa.RULE, WEIGHTS, (50, 20)), (dfa.RULE, DIRECT, (20, 20))):
        beside = rule.companions(network, rule.settings(scale=3.0), KEY)
        for B, rows, others in zip(beside[name], (40, 50), columns, strict=True):
            assert B.shape == (rows, others)
            relative = np.mean(B**2) * (rows + others) / (2 * 9)
            assert abs(relative - 1) < 5 * np.sqrt(2 / B.size)


def test_sign_symmetric_feedback_follows_the_signs_of_the_weights() -> None:
    """And |B| = scale |W|; the random magnitudes stay what they were as W changes its signs."""
    network, _, _ = task()
    moved = replace(network, weights=tuple(-2 * W for W in network.weights))
    equal, random = sign.RULE.settings(scale=0.5), sign.RULE.settings(magnitudes="random")
    assert sign.RULE.companions(network, equal, KEY) == {}
    magnitudes = sign.RULE.companions(network, random, KEY)
    for net, size in ((network, 1), (moved, 2)):
        for W, B, M in zip(
            net.weights[1:],
            sign.concordant(net, equal, {}),
            sign.concordant(net, random, magnitudes),
            strict=True,
        ):
            np.testing.assert_array_equal(np.sign(B), np.sign(W.T))
            np.testing.assert_array_equal(np.sign(M), np.sign(W.T))
            assert np.ptp(np.abs(B)) < 1e-15 * size
            assert np.linalg.norm(B) == pytest.approx(0.5 * np.linalg.norm(W), rel=1e-13)
    for B, M in zip(sign.concordant(network, random, magnitudes), magnitudes[WEIGHTS], strict=True):
        np.testing.assert_array_equal(np.abs(B), M)


def test_signs_of_gaussian_weights_say_as_much_as_theory_has_it() -> None:
    """E|w| / sqrt(E w^2) = sqrt(2 / pi) for equal magnitudes, 2 / pi for random ones."""
    network = initialise((9, 200, 150), 5, init="gaussian", auxiliary=False)
    W = network.weights[1]
    for magnitudes, wanted in (("equal", np.sqrt(2 / np.pi)), ("random", 2 / np.pi)):
        settings = sign.RULE.settings(magnitudes=magnitudes)
        beside = sign.RULE.companions(network, settings, KEY)
        (B,) = sign.concordant(network, settings, beside)
        assert abs(cosine(B.T, W) - wanted) < 5 / np.sqrt(W.size)


def test_learning_turns_the_feed_forward_weights_towards_fixed_feedback_weights() -> None:
    """Digits, six networks side by side, from small weights as in the paper: the cosine with
    back-propagation grows in both hidden layers. Feedback weights that are drawn anew in every step
    have nothing to be turned towards.
    """
    images, labels = load_digits(return_X_y=True)
    count, widths, batch = 6, (64, 48, 48, 10), 50
    drawn = [initialise(widths, k, init="gaussian", activation="tanh", auxiliary=False)
             for k in range(count)]  # fmt: skip
    single = [replace(one, weights=tuple(W / 10 for W in one.weights)) for one in drawn]
    settings, spread = fa.RULE.settings(), 1 / np.sqrt(48 * count)

    def cosines(network, beside) -> list[float]:
        inputs = np.broadcast_to(images[:batch] / 16, (count, batch, 64)).copy()
        targets = np.broadcast_to(np.eye(10)[labels[:batch]], (count, batch, 10)).copy()
        activity = forward(network, inputs)
        found = signal_of(fa.RULE, (network, activity, targets), beside).shifts
        bp = RULES["bp"](network, activity, output_error(network, activity, targets))
        each = [cosine(found.per_gain(k), bp.per_gain(k), (-2, -1)) for k in (1, 2)]
        return [float(one.mean()) for one in each]

    after = {}
    for anew in (False, True):
        network, rng = stacked(single), np.random.default_rng(0)
        beside = fa.RULE.companions(network, settings, np.arange(count))
        before = cosines(network, beside)
        for step in range(160):
            some = rng.integers(0, len(images), (count, batch))
            activity = forward(network, images[some] / 16)
            given = (network, activity, np.eye(10)[labels[some]])
            if anew:
                keys = np.arange(count) + count * (step + 1)
                beside = fa.RULE.companions(network, settings, keys)
            changes = signal_updates(network, signal_of(fa.RULE, given, beside))
            network = replace(
                network,
                weights=tuple(
                    W + 0.1 * u.weights for W, u in zip(network.weights, changes, strict=True)
                ),
                biases=tuple(
                    b + 0.1 * u.biases for b, u in zip(network.biases, changes, strict=True)
                ),
            )
        if anew:
            beside = fa.RULE.companions(network, settings, np.arange(count))
        after[anew] = cosines(network, beside)
        assert np.abs(before).max() < 5 * spread
    assert min(after[False]) > 8 * spread
    assert max(np.abs(after[True])) < 5 * spread


@pytest.mark.parametrize("rule", RANDOM_RULES, ids=lambda rule: rule.name)
def test_all_that_is_random_comes_from_keys_and_a_stack_draws_as_its_members_would(rule) -> None:
    single = [task(seed=seed) for seed in (1, 2)]
    settings = rule.settings()
    if rule is sign.RULE:
        settings = replace(settings, magnitudes="random")
    each = [rule.companions(net, settings, np.array(key)) for (net, _, _), key in
            zip(single, (4, 9), strict=True)]  # fmt: skip
    both = stacked([net for net, _, _ in single])
    together = rule.companions(both, settings, np.array([4, 9]))
    assert set(together) == set(each[0])
    for name in together:
        for layer, arrays in enumerate(together[name]):
            np.testing.assert_array_equal(arrays, [one[name][layer] for one in each])
            assert np.abs(arrays[0] - arrays[1]).min() > 0
    images = np.stack([activity.rates[0] for _, activity, _ in single])
    targets = np.stack([wanted for _, _, wanted in single])
    found = signal_of(rule, (both, forward(both, images), targets), together, settings).shifts
    for place, (given, beside) in enumerate(zip(single, each, strict=True)):
        alone = signal_of(rule, given, beside, settings).shifts
        for layer in range(1, 5):
            np.testing.assert_allclose(
                found.per_gain(layer)[place], alone.per_gain(layer), rtol=1e-12, atol=1e-14
            )


@pytest.mark.parametrize("rule", RANDOM_RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "big"])
def test_a_scale_that_is_none_is_refused_in_one_line(rule, scale) -> None:
    with pytest.raises(CircuitError, match=f"{rule.name} scale") as refusal:
        rule.settings(scale=scale)
    assert "\n" not in str(refusal.value)

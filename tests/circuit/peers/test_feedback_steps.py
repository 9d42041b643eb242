"""Feedback that learns: each step is that of its loss, from keys alone, as a stack or alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from circuit.errors import NotFinite
from circuit.learned_inverse.model import BIASES, PRACTICE, WEIGHTS
from circuit.network import Network, forward
from circuit.numerics.keyed_random import signs
from circuit.peers import ddtp, dtp, ldrl
from circuit.peers.dfa import DIRECT
from tests.circuit.peers.feedback_tasks import KEY, practised, signal_of, stacked, task

LEARNING = {
    "dtp": (dtp.RULE, {}),
    "drl": (dtp.RULE, {"loss": "drl", "unit": "above"}),
    "ldrl": (ldrl.RULE, {"steps": 2}),
    "ddtp": (ddtp.RULE, {"before": 1}),
}


def down_the_gradient(loss: Callable[[np.ndarray], float], B: np.ndarray) -> np.ndarray:
    """Minus half the gradient, by central differences, entry by entry."""
    found = np.zeros(B.shape)
    for index in np.ndindex(B.shape):
        up, down = B.copy(), B.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        found[index] = -(loss(up) - loss(down)) / 4e-5
    return found


def states(network: Network, layer: int, rates: np.ndarray) -> list[np.ndarray]:
    """Rates of `layer` .. L after those of `layer`, written down anew."""
    values = {"tanh": np.tanh, "asinh": np.arcsinh, "linear": lambda h: h,
              "leaky_relu": lambda h: np.where(h > 0, h, 0.1 * h)}  # fmt: skip
    found = [rates]
    for k in range(layer, network.depth):
        unit = values[network.activation(k + 1).name]
        found.append(unit(found[-1] @ network.weights[k].T + network.biases[k]))
    return found


def drawn(step: int, again: int, *which: int, units: int, batch: int = 9) -> np.ndarray:
    return signs(KEY, (PRACTICE, step, again, *which), np.zeros((batch, 1)), units)


# --- one step ---


def test_a_step_of_reconstruction_goes_down_its_loss() -> None:
    """|f_{l-1}(B y~ + c) - (y + xi)|^2 in B and c, over the mean square of what is read."""
    given = network, activity, _ = task()
    settings = dtp.RULE.settings(noise=0.3, rate=0.7)
    before = dtp.RULE.companions(network, settings, KEY)
    before = {**before, BIASES: tuple(c + 0.1 for c in before[BIASES])}
    after = practised(dtp.RULE, given, settings, 1, before, first=5)
    for layer in (2, 3, 4):
        y = activity.rates[layer - 1]
        noisy = y + 0.3 * drawn(5, 0, layer, units=y.shape[1])
        seen, end = states(network, layer - 1, noisy)[1], {}

        def loss(B, c, layer=layer, noisy=noisy, seen=seen):
            rates = np.concatenate([(seen @ B.T + c)])
            value = {2: np.tanh, 3: lambda h: np.where(h > 0, h, 0.1 * h), 4: np.arcsinh}[layer]
            return np.sum((value(rates) - noisy) ** 2) / 9

        B, c = (before[name][layer - 2] for name in (WEIGHTS, BIASES))
        inputs = seen.shape[1] + 1
        end["B"] = down_the_gradient(lambda x, c=c: loss(x, c), B) / np.mean(seen**2)
        end["c"] = down_the_gradient(lambda x, B=B: loss(B, x), c)
        for name, key in (("B", WEIGHTS), ("c", BIASES)):
            moved = after[key][layer - 2] - before[key][layer - 2]
            np.testing.assert_allclose(moved, 0.7 / inputs * end[name], rtol=1e-6, atol=1e-9)


READ = {
    "linear": lambda unit, y: y,
    "above": lambda unit, y: {"tanh": np.tanh, "asinh": np.arcsinh}.get(
        unit, lambda h: np.where(h > 0, h, 0.1 * h)
    )(y),
    "inverse": lambda unit, y: {"tanh": np.arctanh, "asinh": np.sinh}.get(
        unit, lambda r: np.where(r > 0, r, 10 * r)
    )(y),
}


@pytest.mark.parametrize("form", READ)
def test_a_step_of_difference_reconstruction_goes_down_its_loss(form: str) -> None:
    """Up to the output and down again, in absolute rates; from the output layer down, each from
    what those above have just learnt.
    """
    given = network, activity, _ = task()
    settings = dtp.RULE.settings(loss="drl", unit=form, noise=0.2, rate=0.7, decay=0.3)
    before = dtp.RULE.companions(network, settings, KEY)
    before = {**before, WEIGHTS: tuple(B / 3 for B in before[WEIGHTS])}
    after = practised(dtp.RULE, given, settings, 1, before, first=2)
    for layer in (4, 3, 2):
        y = activity.rates[layer - 1]
        xi = drawn(2, 0, layer, units=y.shape[1])
        moved, still = states(network, layer - 1, y + 0.2 * xi)[-1], activity.rates[-1]

        def read(k, rates):
            return READ[form](network.activation(k).name, rates)

        for k in range(4, layer, -1):  # difference targets
            B = after[WEIGHTS][k - 2]
            moved, still = (
                activity.rates[k - 1] + (read(k, moved) - read(k, still)) @ B.T,
                activity.rates[k - 1],
            )
        seen = (read(layer, moved) - read(layer, still)) / 0.2

        def loss(B, xi=xi, seen=seen):
            return np.sum((seen @ B.T - xi) ** 2) / 9 + 0.3 * np.sum(B**2)

        B = before[WEIGHTS][layer - 2]
        size = np.mean(seen**2) * seen.shape[1] + 0.3
        wanted = 0.7 / size * down_the_gradient(loss, B)
        np.testing.assert_allclose(after[WEIGHTS][layer - 2] - B, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", ["linear", "above"])
def test_a_step_of_local_difference_reconstruction_goes_down_its_loss(form: str) -> None:
    """- 2 <dx, g(f(y + dx)) - g(f(y))> + |g(y + dy) - g(y)|^2, two steps on one batch."""
    given = network, activity, _ = task()
    settings = ldrl.RULE.settings(unit=form, noise=0.2, rate=0.7, steps=2)
    before = ldrl.RULE.companions(network, settings, KEY)
    after = practised(ldrl.RULE, given, settings, 1, before, first=4)
    for layer in (2, 3, 4):
        y, above, B = activity.rates[layer - 1], activity.rates[layer], before[WEIGHTS][layer - 2]
        name = network.activation(layer).name
        for again in range(2):
            dx = 0.2 * drawn(4, again, layer, units=y.shape[1])
            dy = 0.2 * drawn(4, again, layer, 1, units=above.shape[1])
            up = READ[form](name, states(network, layer - 1, y + dx)[1]) - READ[form](name, above)
            back = READ[form](name, above + dy) - READ[form](name, above)

            def loss(B, dx=dx, up=up, back=back):
                return (-2 * np.sum(dx * (up @ B.T)) + np.sum((back @ B.T) ** 2)) / 9 / 0.04

            B = B + 0.7 / (1 + above.shape[1] / 9) * down_the_gradient(loss, B)
        np.testing.assert_allclose(after[WEIGHTS][layer - 2], B, rtol=1e-6, atol=1e-8)


def test_a_step_of_direct_difference_reconstruction_goes_down_its_loss() -> None:
    """Of the outputs with an error alone."""
    given = network, activity, _ = task(n_outputs=3)
    settings = ddtp.RULE.settings(noise=0.2, rate=0.7, decay=0.3)
    before = ddtp.RULE.companions(network, settings, KEY)
    after = practised(ddtp.RULE, given, settings, 1, before, first=3)
    for layer in (1, 2, 3):
        y, Q = activity.rates[layer], before[DIRECT][layer - 1]
        xi = drawn(3, 0, layer, units=y.shape[1])
        seen = (states(network, layer, y + 0.2 * xi)[-1] - activity.rates[-1])[:, :3] / 0.2

        def loss(Q, xi=xi, seen=seen):
            return np.sum((seen @ Q.T - xi) ** 2) / 9 + 0.3 * np.sum(Q**2)

        wanted = 0.7 / (np.mean(seen**2) * 3 + 0.3) * down_the_gradient(loss, Q)
        np.testing.assert_allclose(after[DIRECT][layer - 1] - Q, wanted, rtol=1e-6, atol=1e-8)


def test_a_disturbance_may_be_as_small_as_one_likes() -> None:
    """In float32 at sigma = 1e-12, where rates do not change any more: that of sigma = 1e-3."""
    for name, (rule, options) in LEARNING.items():
        if name == "dtp":
            continue  # reconstructs rates, not changes
        given = task(units=("tanh", "asinh", "tanh", "asinh"), dtype="float32")
        ends = []
        for noise in (1e-12, 1e-3):
            settings = rule.settings(**options, noise=noise)
            beside = practised(rule, given, settings, 1)
            ends.append(beside[DIRECT if rule is ddtp.RULE else WEIGHTS])
        for small, large in zip(*ends, strict=True):
            np.testing.assert_allclose(small, large, rtol=0.02, atol=2e-3)
            assert small.dtype == np.float32


# --- keys, stacks, what goes wrong ---


@pytest.mark.parametrize("name", LEARNING)
def test_practice_goes_on_with_the_same_bits_and_differs_by_step_and_key(name: str) -> None:
    rule, options = LEARNING[name]
    given = network, activity, _ = task()
    settings = rule.settings(**options)
    whole = practised(rule, given, settings, 4)
    kept = {key: tuple(np.array(one) for one in arrays) for key, arrays in
            practised(rule, given, settings, 2).items()}  # fmt: skip
    again = practised(rule, given, settings, 2, kept, first=2)
    repeated = practised(rule, given, settings, 2, kept, first=0)
    other = rule.companions(network, settings, np.array(12))
    for key in whole:
        for one, two, three in zip(whole[key], again[key], repeated[key], strict=True):
            np.testing.assert_array_equal(one, two)
            assert key == "noise_keys" or np.abs(one - three).max() > 0
    first = rule.practise(network, activity, other, settings, 0)
    learnt = DIRECT if rule is ddtp.RULE else WEIGHTS
    assert all(np.abs(a - b).max() > 0 for a, b in zip(other[learnt], first[learnt], strict=True))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(whole[learnt], first[learnt], strict=True))


@pytest.mark.parametrize("name", LEARNING)
def test_steps_at_the_beginning_come_on_top_of_the_others(name: str) -> None:
    rule, options = LEARNING[name]
    given = task()
    more = practised(rule, given, rule.settings(**{**options, "steps": 1, "before": 3}), 1)
    same = practised(rule, given, rule.settings(**{**options, "steps": 4, "before": 0}), 1)
    none = practised(rule, given, rule.settings(**{**options, "steps": 0, "before": 0}), 3)
    start = rule.companions(given[0], rule.settings(**options), KEY)
    for key in more:
        for one, two in pairwise((more[key], same[key])):
            assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(none[key], start[key], strict=True))


@pytest.mark.parametrize("name", LEARNING)
def test_networks_of_a_stack_practise_as_they_would_alone(name: str) -> None:
    rule, options = LEARNING[name]
    settings = rule.settings(**options)
    single = [task(seed=seed) for seed in (1, 2)]
    both = stacked([net for net, _, _ in single])
    activity = forward(both, np.stack([one.rates[0] for _, one, _ in single]))
    together = rule.companions(both, settings, np.array([4, 9]))
    for step in range(2):
        together = rule.practise(both, activity, together, settings, step)
    for place, ((net, one, _), key) in enumerate(zip(single, (4, 9), strict=True)):
        beside = rule.companions(net, settings, np.array(key))
        for step in range(2):
            beside = rule.practise(net, one, beside, settings, step)
        for word, arrays in beside.items():
            for alone, stack in zip(arrays, together[word], strict=True):
                np.testing.assert_allclose(stack[place], alone, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", LEARNING)
def test_feedback_that_has_come_to_infinity_is_named_by_its_layer(name: str) -> None:
    rule, options = LEARNING[name]
    network, activity, _ = task()
    settings = rule.settings(**options)
    beside = dict(rule.companions(network, settings, KEY))
    key = DIRECT if rule is ddtp.RULE else WEIGHTS
    beside[key] = (*beside[key][:-1], beside[key][-1] * np.inf)
    layer = 3 if rule is ddtp.RULE else 4
    remedy = f"feedback of layer {layer} .* use a lower {rule.name} rate"
    if name == "drl":
        remedy = "feedback of layer"  # what is above goes into what is below
    with np.errstate(all="ignore"), pytest.raises(NotFinite, match=remedy):
        rule.practise(network, activity, beside, settings, 0)


def test_auxiliary_units_take_part_and_are_told_nothing() -> None:
    """What nobody reads has no shift, and B leads to the units that are read."""
    given = network, _, _ = task((9, 8, 6, 6, 5), auxiliary=True, n_outputs=3)
    for rule, options in LEARNING.values():
        settings = rule.settings(**options)
        beside = practised(rule, given, settings, 2)
        shifts = signal_of(rule, given, beside, settings).shifts
        for layer in range(1, 5):
            read = network.n_projecting(layer)
            assert np.all(shifts.values[layer - 1][:, read:] == 0)
            assert np.all(np.abs(shifts.values[layer - 1][:, :read]).max(axis=0) > 0)

"""Rules with feedback weights of their own, on PyTorch tensors, and against its derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.learned_inverse.model import KEYS, PRACTICE, WEIGHTS
from circuit.network import Network, forward
from circuit.numerics.keyed_random import signs
from circuit.peers import ddtp, dfa, dtp, fa, ldrl, sign, signal_updates
from tests.circuit.peers.feedback_tasks import KEY, practised, signal_of, task

CASES = {
    "fa": (fa.RULE, {}),
    "dfa": (dfa.RULE, {}),
    "sign": (sign.RULE, {"magnitudes": "random"}),
    "dtp": (dtp.RULE, {}),
    "drl": (dtp.RULE, {"loss": "drl", "unit": "inverse", "noise": 0.01, "nudge": 0.01}),
    "ldrl": (ldrl.RULE, {"steps": 2}),
    "ddtp": (ddtp.RULE, {"before": 1}),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_torch_tensors_give_what_arrays_give(name: str, dtype: str) -> None:
    """Companions, two steps of practice, weight changes; all in the same library and dtype."""
    torch = pytest.importorskip("torch")
    rule, options = CASES[name]
    settings = rule.settings(**options)
    network, activity, targets = given = task(dtype=dtype)
    tensors = Network(
        tuple(map(torch.tensor, network.weights)),
        tuple(map(torch.tensor, network.biases)),
        network.activations,
        network.n_inputs,
        network.n_outputs,
    )
    other = (tensors, forward(tensors, torch.tensor(activity.rates[0])), torch.tensor(targets))
    beside = practised(rule, given, settings, 2)
    found = rule.companions(tensors, settings, torch.tensor(KEY))
    for step in range(2):
        found = rule.practise(tensors, other[1], found, settings, step)
    assert set(found) == set(beside)
    allowed = 1e-11 if dtype == "float64" else 2e-4
    for key in set(found) - {KEYS}:
        for one, wanted in zip(found[key], beside[key], strict=True):
            assert isinstance(one, torch.Tensor) and str(one.dtype) == f"torch.{dtype}"
            np.testing.assert_allclose(one.numpy(), wanted, rtol=allowed, atol=allowed)
    changes = signal_updates(tensors, signal_of(rule, other, found, settings, "cross_entropy"))
    usual = signal_updates(network, signal_of(rule, given, beside, settings, "cross_entropy"))
    for one, wanted in zip(changes, usual, strict=True):
        assert str(one.weights.dtype) == f"torch.{dtype}"
        np.testing.assert_allclose(one.weights.numpy(), wanted.weights, rtol=allowed, atol=allowed)
        np.testing.assert_allclose(one.biases.numpy(), wanted.biases, rtol=allowed, atol=allowed)


def in_torch(torch, network):
    """Weights and biases as leaves, and the units as functions."""
    units = {"tanh": torch.tanh, "asinh": torch.asinh, "linear": lambda h: h,
             "leaky_relu": lambda h: torch.nn.functional.leaky_relu(h, 0.1)}  # fmt: skip
    leaves = [
        [torch.tensor(one, requires_grad=True) for one in arrays]
        for arrays in (network.weights, network.biases)
    ]
    return *leaves, [units[unit.name] for unit in network.activations]


@pytest.mark.parametrize("rule", [fa.RULE, dfa.RULE], ids=lambda rule: rule.name)
def test_torch_backward_through_other_weights_makes_the_same_weight_changes(rule) -> None:
    """A layer whose value comes through W and whose derivative through B: its authors' trick."""
    torch = pytest.importorskip("torch")
    network, activity, targets = given = task(batch=5)
    beside = rule.companions(network, rule.settings(), KEY)
    weights, biases, units = in_torch(torch, network)
    y, told = torch.tensor(activity.rates[0]), torch.tensor(targets)
    hidden = []
    for layer, (W, b, unit) in enumerate(zip(weights, biases, units, strict=True), 1):
        h = y.detach() @ W.T + b
        if rule is fa.RULE and layer > 1:
            through = y @ torch.tensor(beside[WEIGHTS][layer - 2])
            h = h + through - through.detach()
        y = unit(h)
        hidden.append(y)
    loss = torch.nn.functional.cross_entropy(y, told)
    if rule is dfa.RULE:
        error = torch.softmax(y.detach(), dim=1) - told
        for layer, B in enumerate(beside[dfa.DIRECT]):
            loss = loss + (hidden[layer] * (error @ torch.tensor(B).T)).sum() / 5
    loss.backward()
    found = signal_updates(network, signal_of(rule, given, beside, loss="cross_entropy"))
    for change, W, b in zip(found, weights, biases, strict=True):
        np.testing.assert_allclose(change.weights, -W.grad.numpy(), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(change.biases, -b.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_torch_gradient_of_the_loss_between_layers_and_their_targets_is_what_dtp_learns() -> None:
    """As libraries train by it: targets down through g in absolute rates, 1/2 |t - f(W y + b)|^2 of
    every layer by itself, over the step towards the output's target.
    """
    torch = pytest.importorskip("torch")
    network, activity, targets = given = task(batch=5)
    settings = dtp.RULE.settings(nudge=0.3)
    beside = practised(dtp.RULE, given, settings, 20)
    weights, biases, units = in_torch(torch, network)
    rates = [torch.tensor(one) for one in activity.rates]
    target = rates[-1] + 0.3 * (torch.tensor(targets) - rates[-1])
    found = signal_updates(network, signal_of(dtp.RULE, given, beside, settings))
    for layer in range(4, 0, -1):
        W, b, unit = (one[layer - 1] for one in (weights, biases, units))
        out = unit(rates[layer - 1] @ W.T + b)
        (0.5 * ((target - out) ** 2).sum(dim=1).mean() / 0.3).backward()
        change = found[layer - 1]
        np.testing.assert_allclose(change.weights, -W.grad.numpy(), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(change.biases, -b.grad.numpy(), rtol=1e-11, atol=1e-12)
        if layer > 1:
            B, c = (torch.tensor(beside[key][layer - 2]) for key in
                    (WEIGHTS, "feedback_biases"))  # fmt: skip
            below = units[layer - 2]
            target = rates[layer - 1] + below(target @ B.T + c) - below(rates[layer] @ B.T + c)


def test_torch_gradient_of_difference_reconstruction_is_what_feedback_learns() -> None:
    """-2 <dx, g(f(y + dx)) - g(y')> + |g(y' + dy) - g(y')|^2 with g = B f, by automatic
    differentiation in absolute rates, where our step computes differences alone.
    """
    torch = pytest.importorskip("torch")
    network, activity, _ = given = task(batch=6)
    settings = ldrl.RULE.settings(noise=0.1, rate=0.4, steps=1)
    before = ldrl.RULE.companions(network, settings, KEY)
    after = practised(ldrl.RULE, given, settings, 1, before, first=7)
    weights, biases, units = in_torch(torch, network)
    for layer in (2, 3, 4):
        y, out = (torch.tensor(activity.rates[k]) for k in (layer - 1, layer))
        unit, draws = units[layer - 1], []
        for which, like in (((), y), ((1,), out)):
            count = (PRACTICE, 7, 0, layer, *which)
            drawn = signs(KEY, count, np.zeros((6, 1)), like.shape[1])
            draws.append(0.1 * torch.tensor(drawn))
        dx, dy = draws
        B = torch.tensor(before[WEIGHTS][layer - 2], requires_grad=True)

        def g(rates, unit=unit, B=B):
            return unit(rates) @ B.T

        up = unit((y + dx) @ weights[layer - 1].detach().T + biases[layer - 1].detach())
        loss = -2 * (dx * (g(up) - g(out))).sum() + ((g(out + dy) - g(out)) ** 2).sum()
        (loss / 6 / 0.01).backward()
        wanted = -0.4 / (1 + out.shape[1] / 6) * B.grad.numpy() / 2
        moved = after[WEIGHTS][layer - 2] - before[WEIGHTS][layer - 2]
        np.testing.assert_allclose(moved, wanted, rtol=1e-9, atol=1e-11)

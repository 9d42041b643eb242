"""Feedback that learns ends where theory has it.

Disturbances are random signs. Columns of a Hadamard matrix are signs too, whose mean outer product
is the identity exactly; with them practice has its end where theory has it, to the last digits.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard

from circuit.learned_inverse.model import BIASES, WEIGHTS
from circuit.losses import output_error
from circuit.network import forward
from circuit.peers import ddtp, dtp, ldrl
from circuit.peers.dfa import DIRECT
from circuit.rules import RULES
from tests.circuit.peers.feedback_tasks import KEY, practised, signal_of, task


def straight(widths=(7, 6, 8, 5, 4), batch=64, **options):
    """A linear network with biases on a batch of 64, which has a Hadamard matrix."""
    return task(widths, "linear", batch=batch, **options)


def white(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disturbances with a mean outer product of 1, other columns for every layer."""
    columns = hadamard(64).astype(float)[:, 1:]

    def drawn(keys, step, again, layer, *which, like, units):
        first = 7 * layer + 20 * len(which)
        return np.take(columns, range(first, first + units), axis=1, mode="wrap")

    for module in (dtp, ldrl, ddtp):
        monkeypatch.setattr(module, "disturbance", drawn)


def ends_at(rule, given, settings, end, steps=40) -> None:
    """Practice leaves `end` as it is, and comes nearer to it from elsewhere, in every layer. With
    the same outer products in every step that is where it ends, its steps being linear.
    """
    begin = rule.companions(given[0], settings, KEY)
    name = DIRECT if rule is ddtp.RULE else WEIGHTS
    stays = practised(rule, given, settings, 1, {**begin, **end})
    nearer = practised(rule, given, settings, steps)
    for key in end:
        for one, same in zip(end[key], stays[key], strict=True):
            np.testing.assert_allclose(same, one, rtol=0, atol=1e-11)
    for start, last, one in zip(begin[name], nearer[name], end[name], strict=True):
        assert np.linalg.norm(last - one) < 0.7 * np.linalg.norm(start - one)


def test_local_difference_reconstruction_ends_at_the_transpose(monkeypatch) -> None:
    """Of linear rectangles; and then targets are back-propagation's."""
    white(monkeypatch)
    given = network, activity, targets = straight()
    settings = ldrl.RULE.settings(unit="linear", rate=1.0, steps=1)
    beside = practised(ldrl.RULE, given, settings, 200)
    for B, W in zip(beside[WEIGHTS], network.weights[1:], strict=True):
        np.testing.assert_allclose(B, W.T, rtol=0, atol=1e-12)
    bp = RULES["bp"](network, activity, output_error(network, activity, targets))
    found = signal_of(ldrl.RULE, given, beside, settings).shifts
    for layer in range(1, 5):
        np.testing.assert_allclose(found.per_gain(layer), bp.per_gain(layer), atol=1e-11)


def test_behind_leaky_units_it_ends_at_the_transpose_too(monkeypatch) -> None:
    """W^T A^2 = B A^2 with feedback through f, for one image; the linear one ends at W^T A."""
    white(monkeypatch)
    network, activity, _ = task(units="leaky_relu", batch=1)
    given = (network, forward(network, np.repeat(activity.rates[0], 64, axis=0)), None)
    for unit in ("above", "linear"):
        A = [np.diag(activity.slope(layer)[0] ** (unit == "linear")) for layer in (2, 3, 4)]
        end = tuple(W.T @ slopes for W, slopes in zip(network.weights[1:], A, strict=True))
        settings = ldrl.RULE.settings(unit=unit, rate=1.5, steps=20, noise=1e-6)
        ends_at(ldrl.RULE, given, settings, {WEIGHTS: end})
    assert all(np.ptp(activity.slope(layer)) > 0.5 for layer in (2, 3, 4))


def test_difference_reconstruction_ends_at_damped_gauss_newton(monkeypatch) -> None:
    """B_l = H^T (H H^T + c)^-1 from the output down, H leading up to the output and down again."""
    white(monkeypatch)
    given = network, _, _ = straight((7, 6, 8, 5, 4))
    c, end, J, G = 0.05, [], np.eye(4), np.eye(4)
    for layer in (4, 3, 2):
        J = J @ network.weights[layer - 1]  # dy_L / dy_{l-1}
        H = G @ J
        end.insert(0, H.T @ np.linalg.inv(H @ H.T + c * np.eye(len(H))))
        G = end[0] @ G
    W = network.weights[3]
    np.testing.assert_allclose(end[2], W.T @ np.linalg.inv(W @ W.T + c * np.eye(4)))
    settings = dtp.RULE.settings(loss="drl", rate=1.0, decay=c, steps=10)
    ends_at(dtp.RULE, given, settings, {WEIGHTS: tuple(end)})


def test_without_damping_its_targets_are_gauss_newton_s(monkeypatch) -> None:
    """Products of feedback weights from the output down end at pinv(F_l), which are not those of
    layer-wise pseudo-inverses, and leave the weights themselves open.
    """
    white(monkeypatch)
    given = network, activity, targets = straight((9, 8, 10, 7, 3), seed=5)
    settings = dtp.RULE.settings(loss="drl", rate=1.0, decay=0.0)

    def products(matrices):
        found = [np.eye(3)]
        for B in reversed(matrices):
            found.insert(0, B @ found[0])
        return found[:-1]

    F = [W.T for W in products([W.T for W in network.weights[1:]])]
    end, wanted = [], [np.linalg.pinv(one) for one in F]
    for G, below in zip([np.eye(3), *wanted[:0:-1]], wanted[::-1], strict=True):
        end.insert(0, below @ np.linalg.pinv(G))
    begin = dtp.RULE.companions(network, settings, KEY)
    there = practised(dtp.RULE, given, settings, 1, {**begin, WEIGHTS: tuple(end)})
    nearer = practised(dtp.RULE, given, settings, 100)
    for start, last, same, one in zip(
        *(products(beside[WEIGHTS]) for beside in (begin, nearer, there)), wanted, strict=True
    ):
        np.testing.assert_allclose(same, one, rtol=0, atol=1e-12)
        assert np.linalg.norm(last - one) < 0.3 * np.linalg.norm(start - one)
    alone = products([np.linalg.pinv(W) for W in network.weights[1:]])
    assert np.abs(alone[0] - wanted[0]).max() > 0.05 * np.abs(wanted[0]).max()
    shifts = signal_of(dtp.RULE, given, there, settings).shifts
    error = output_error(network, activity, targets)
    for layer in (1, 2, 3):
        newton = error @ wanted[layer - 1].T
        np.testing.assert_allclose(shifts.per_gain(layer), newton, rtol=0, atol=1e-11)


def test_direct_feedback_ends_at_damped_gauss_newton(monkeypatch) -> None:
    """Q_l = F_l^T (F_l F_l^T + c)^-1 in every layer, of the outputs with an error."""
    white(monkeypatch)
    given = network, _, _ = straight(n_outputs=3)
    settings = ddtp.RULE.settings(rate=1.0, decay=0.2)
    F, end = np.eye(4)[:3], []
    for layer in (3, 2, 1):
        F = F @ network.weights[layer]
        end.insert(0, F.T @ np.linalg.inv(F @ F.T + 0.2 * np.eye(3)))
    ends_at(ddtp.RULE, given, settings, {DIRECT: tuple(end)})


def test_reconstruction_ends_at_the_inverse_weighted_by_what_is_seen(monkeypatch) -> None:
    """S W^T (W S W^T)^-1 of linear layers, S = cov(y) + sigma^2, and c from the means."""
    white(monkeypatch)
    given = network, activity, _ = straight((7, 6, 4, 4, 3), seed=4)
    settings = dtp.RULE.settings(noise=0.5, rate=1.9, steps=5)
    weights, biases = [], []
    for layer in (2, 3, 4):
        W, b, y = network.weights[layer - 1], network.biases[layer - 1], activity.rates[layer - 1]
        noisy = y + 0.5 * dtp.disturbance(KEY, 0, 0, layer, like=y, units=y.shape[1])
        S, mean = np.cov(noisy.T, bias=True), noisy.mean(axis=0)
        weights.append(S @ W.T @ np.linalg.inv(W @ S @ W.T))
        biases.append(mean - weights[-1] @ (W @ mean + b))
    ends_at(dtp.RULE, given, settings, {WEIGHTS: tuple(weights), BIASES: tuple(biases)})


def spread_of_quadratics(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Variances of (left xi)_i (right xi)_j over independent signs xi, `(n, m)`.

    xi^T S xi has variance 2 (|S|^2 - |diag S|^2), S being the symmetric part of l_i r_j^T.
    """
    S = left[:, None, :, None] * right[None, :, None, :]
    S = (S + np.swapaxes(S, -1, -2)) / 2
    diagonal = np.einsum("ijkk->ijk", S)
    return 2 * (np.sum(S**2, axis=(-2, -1)) - np.sum(diagonal**2, axis=-1))


def test_random_signs_end_there_within_their_own_error() -> None:
    """The mean of B over steps is off by the mean of the steps' noise at the end: normal, of a
    variance that is computed from W. So are all entries, in units of it.
    """
    given = network, _, _ = straight((5, 6, 4), batch=100)
    (W,), (n, N) = network.weights[1:], (6, 4)
    settings = ldrl.RULE.settings(unit="linear", rate=0.2, steps=1)
    beside = practised(ldrl.RULE, given, settings, 100)
    total, steps = np.zeros((n, N)), 900
    for step in range(100, 100 + steps):
        beside = practised(ldrl.RULE, given, settings, 1, beside, step)
        total += beside[WEIGHTS][0]
    # per image dx (W dx)^T - W^T dy dy^T
    variance = spread_of_quadratics(np.eye(n), W) + spread_of_quadratics(W.T, np.eye(N))
    off = (total / steps - W.T) / np.sqrt(variance / 100 / steps)
    assert np.abs(off).max() < 5
    assert 0.6 < np.sqrt(np.mean(off**2)) < 1.6
    assert np.abs(total / steps - np.linalg.pinv(W)).max() > 0.1


def test_random_signs_bring_direct_feedback_there_within_their_own_error() -> None:
    """As above, through (F F^T + c)^-1; and what the normaliser adds, 4 / batch at most."""
    given = network, _, _ = straight((5, 6, 4), batch=1000)
    F, c, steps = network.weights[1], 0.3, 250
    settings = ddtp.RULE.settings(rate=0.5, decay=c)
    beside = practised(ddtp.RULE, given, settings, 150)
    total = np.zeros((6, 4))
    for step in range(150, 150 + steps):
        beside = practised(ddtp.RULE, given, settings, 1, beside, step)
        total += beside[DIRECT][0]
    K = np.linalg.inv(F @ F.T + c * np.eye(4))
    Q = F.T @ K
    variance = spread_of_quadratics(np.eye(6) - Q @ F, K @ F)
    off = np.abs(total / steps - Q)
    assert np.all(off < 5 * np.sqrt(variance / 1000 / steps) + 4 / 1000 * np.abs(Q).max())
    assert np.abs(total / steps - F.T).max() > 0.1

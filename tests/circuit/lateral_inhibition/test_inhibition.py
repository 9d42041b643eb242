"""Lateral inhibition against closed forms, SciPy, autograd and loop-by-loop transcriptions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg

from circuit.errors import CircuitError
from circuit.lateral_inhibition import acting as decorrelation
from circuit.lateral_inhibition import teaching
from studies.lateral_inhibition.measures import resting_response, settled_pull, weak_pull

PLASTICITY = {
    "inhibition": (1, teaching.learn_lateral),
    "whitening": (1, teaching.learn_whitening),
    "populations": (2, teaching.learn_populations),
}


def covariance(rng, n=6, spread=4.0):
    """A covariance with eigenvalues from 1 to `spread`, those of drives."""
    turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (turn * np.linspace(1, spread, n)) @ turn.T


def exact_samples(c):
    """As many samples as units, whose second moments are exactly `c`."""
    return math.sqrt(len(c)) * scipy.linalg.sqrtm(c)


def rested(name, drives, rate=0.05, steps=6000):
    """Synapses after so many steps on the same drives."""
    kind = teaching.MECHANISMS[name]
    synapses = kind.begin(drives.shape[1], np.zeros((1, 1)))
    for _ in range(steps):
        synapses = kind.learn(synapses, kind.settle(synapses, drives), rate)
    return synapses


# --- fixed points of lateral plasticity ---


def test_whitening_comes_to_the_square_root_of_the_covariance(rng):
    """M = C^1/2 - 1 (SciPy's matrix square root), and rates of covariance 1."""
    c = covariance(rng)
    drives = exact_samples(c)
    (lateral,) = synapses = rested("whitening", drives)
    np.testing.assert_allclose(lateral, scipy.linalg.sqrtm(c) - np.eye(6), atol=1e-10)
    rates = teaching.settle_lateral(synapses, drives)
    np.testing.assert_allclose(rates.T @ rates / 6, np.eye(6), atol=1e-10)


def test_anti_hebbian_inhibition_of_two_units_has_a_closed_form():
    """C = [[1, c], [c, 1]] and M = [[0, m], [m, 0]] share eigenvectors. Uncorrelated rates need
    (1 + c) / (1 + m)^2 = (1 - c) / (1 - m)^2, so m = (s - 1) / (s + 1), s^2 = (1 + c) / (1 - c)."""
    for c in (-0.6, 0.3, 0.9):
        (lateral,) = rested("inhibition", exact_samples(np.array([[1, c], [c, 1]])))
        s = math.sqrt((1 + c) / (1 - c))
        m = (s - 1) / (s + 1)
        np.testing.assert_allclose(lateral, [[0, m], [m, 0]], atol=1e-12)


def test_anti_hebbian_inhibition_rests_where_rates_are_uncorrelated(rng):
    """Off-diagonal of R C R is zero; without plasticity it is that of C."""
    c = covariance(rng)
    (lateral,) = rested("inhibition", exact_samples(c))
    response = np.linalg.inv(np.eye(6) + lateral)
    output = response @ c @ response.T
    assert np.max(np.abs(output - np.diag(np.diag(output)))) < 1e-10
    assert np.max(np.abs(c - np.diag(np.diag(c)))) > 0.1
    np.testing.assert_array_equal(np.diag(lateral), np.zeros(6))


def test_populations_come_to_the_inverse_square_root_where_there_is_variance_enough(rng):
    """R = min(1/k, c^-1/2) in the eigenvectors of C, also from synapses that begin at random."""
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    values = np.array([0.04, 0.1, 0.5, 1.0, 2.0, 4.0])  # k^2 = 0.25: the first two are not reached
    drives = exact_samples((turn * values) @ turn.T)
    expected = (turn * np.minimum(1 / teaching.LEAK, values**-0.5)) @ turn.T
    np.testing.assert_allclose(resting_response((turn * values) @ turn.T), expected, atol=1e-12)
    begun = {
        "in pairs": teaching.begin_populations(6, drives),
        "at random": tuple(0.5 * rng.standard_normal((2, 6, 6))),
    }
    for how, synapses in begun.items():
        for _ in range(8000):
            rates = teaching.settle_populations(synapses, drives)
            synapses = teaching.learn_populations(synapses, rates, 0.05)
        p, q = synapses
        response = np.linalg.inv(teaching.LEAK * np.eye(6) + q @ p)
        np.testing.assert_allclose(response, expected, atol=1e-6, err_msg=how)
        np.testing.assert_allclose(q, p.T, atol=1e-10, err_msg=how)


@pytest.mark.parametrize("name", ["whitening", "populations"])
def test_gaussian_input_comes_to_the_fixed_point_within_the_noise_of_sampling(rng, name):
    """New Gaussian samples in every step. At rate eta with B samples a step the rates' covariance
    is averaged over 2 B / eta samples, so that no entry of <r r^T> is off by more than
    5 sqrt(2 / (2 B / eta)), of which the largest of 21 entries needs 3.5."""
    c, rate, batch = covariance(rng), 0.01, 100
    root = np.linalg.cholesky(c)
    kind = teaching.MECHANISMS[name]
    synapses = kind.begin(6, c)
    for _ in range(2000):
        drives = rng.standard_normal((batch, 6)) @ root.T
        synapses = kind.learn(synapses, kind.settle(synapses, drives), rate)
    response = kind.settle(synapses, np.eye(6)).T
    tolerance = 5 * math.sqrt(rate / batch)
    assert np.max(np.abs(response @ c @ response.T - np.eye(6))) < tolerance
    assert np.max(np.abs(c - np.eye(6))) > 10 * tolerance


@pytest.mark.parametrize("name", list(PLASTICITY))
def test_one_step_of_plasticity_loop_by_loop(rng, name):
    count, learn = PLASTICITY[name]
    synapses = tuple(0.1 * rng.standard_normal((count, 3, 3)))
    rates, rate = rng.standard_normal((5, 3)), 0.2
    found = learn(synapses, rates, rate)
    p = synapses[0]
    for new, old, part in zip(found, synapses, range(count), strict=True):
        for i in range(3):
            for j in range(3):
                change = 0.0
                for r in rates:
                    s = [sum(p[a, b] * r[b] for b in range(3)) for a in range(3)]
                    if name == "inhibition":
                        change += (i != j) * r[i] * r[j] / 5
                    elif name == "whitening":
                        change += (r[i] * r[j] - (i == j)) / 5
                    elif part == 0:
                        change += (s[i] * r[j] - old[i, j]) / 5
                    else:
                        change += (r[i] * s[j] - old[i, j]) / 5
                assert new[i, j] == pytest.approx(old[i, j] + rate * change, rel=1e-13)


@pytest.mark.parametrize("name", list(PLASTICITY))
def test_rates_rest_in_the_dynamics(rng, name):
    """The equations of the module, integrated by SciPy until nothing moves."""
    drives = exact_samples(covariance(rng, 4))
    kind = teaching.MECHANISMS[name]
    synapses = rested(name, drives, steps=30)

    def flow(_, y):
        if name == "populations":
            p, q = synapses
            r, s = y[:4], y[4:]
            return np.concatenate([drives[0] - q @ s - teaching.LEAK * r, p @ r - s])
        return drives[0] - synapses[0] @ y - y

    start = np.zeros(8 if name == "populations" else 4)
    path = scipy.integrate.solve_ivp(flow, (0, 200), start, method="LSODA", rtol=1e-10, atol=1e-12)
    found = kind.settle(synapses, drives[:1])[0]
    np.testing.assert_allclose(path.y[:4, -1], found, atol=1e-8)


def test_inhibition_without_a_stable_rest_is_refused():
    runaway = (np.array([[0.0, 2.0], [2.0, 0.0]]),)  # eigenvalue 1 - 2 of 1 + M
    with pytest.raises(CircuitError, match="run away; use a lower lateral rate"):
        teaching.settle_lateral(runaway, np.ones((1, 2)))


# --- what synapses are taught ---


def white(n):
    """Patterns with second moments exactly 1: one unit at a time."""
    return math.sqrt(n) * np.eye(n)


def near_orthogonal(rng, off, n=6):
    """Orthogonal weights and what was added to them."""
    turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return turn + off * rng.standard_normal((n, n)) / math.sqrt(n)


@pytest.mark.parametrize("name", ["whitening", "populations"])
def test_at_rest_spontaneous_activity_pulls_to_the_nearest_orthogonal_matrix(rng, name):
    """8 lambda (V - W), with V from SciPy's polar decomposition."""
    weights, strength = near_orthogonal(rng, 0.3), 0.05
    synapses = rested(name, white(6) @ weights.T)
    found, _ = teaching.teach(name, synapses, weights, white(6), 0.1, strength)
    nearest, _ = scipy.linalg.polar(weights)
    np.testing.assert_allclose(found, 8 * strength * (nearest - weights), atol=1e-8)


def test_weak_inhibition_in_spontaneous_activity_is_the_gradient_of_the_regulariser(rng):
    """Minus the gradient of |offdiag(W W^T)|^2, by PyTorch's autograd; with images it is not."""
    torch = pytest.importorskip("torch")
    weights = near_orthogonal(rng, 0.3)
    w = torch.tensor(weights, requires_grad=True)
    gram = w @ w.T
    (gram - torch.diag(torch.diag(gram))).square().sum().backward()
    gradient = w.grad.numpy()
    np.testing.assert_allclose(weak_pull(weights, np.eye(6)), -gradient, atol=1e-12)
    images = weak_pull(weights, covariance(rng, 6, 20.0))
    cosine = np.sum(images * gradient) / np.linalg.norm(images) / np.linalg.norm(gradient)
    assert abs(cosine) < 0.9


def test_inhibition_at_rest_follows_the_regulariser_to_first_order():
    """With rows of length 1 the pull is minus the gradient of Eq. 23 up to second order in the
    distance from orthogonality: halved distance, a quarter of the error."""
    errors = []
    for off in (0.04, 0.02, 0.01):
        weights = near_orthogonal(np.random.default_rng(3), off)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        synapses = rested("inhibition", white(6) @ weights.T)
        found, _ = teaching.teach("inhibition", synapses, weights, white(6), 0.1, 1.0)
        gram = weights @ weights.T
        expected = -4 * (gram - np.diag(np.diag(gram))) @ weights
        errors.append(np.linalg.norm(found - expected))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_expected_pull_of_populations_is_that_of_the_circuit_at_rest(rng, spread):
    """For spontaneous activity (1) and for correlated presynaptic rates (5)."""
    weights, moments = near_orthogonal(rng, 0.3), covariance(rng, 6, spread)
    rates = exact_samples(moments)
    synapses = rested("populations", rates @ weights.T)
    found, _ = teaching.teach("populations", synapses, weights, rates, 0.1, 1.0)
    np.testing.assert_allclose(found, settled_pull(weights, moments), atol=1e-6)


@pytest.mark.parametrize("name", ["whitening", "populations"])
def test_taught_synapses_become_orthogonal_and_untaught_ones_do_not(rng, name):
    """Noise in every step, lateral and feed-forward synapses learning together. With lambda 0 the
    weights stay where they were."""
    start = near_orthogonal(rng, 0.4, 8)

    def apart(weights):
        return np.sqrt(np.mean((np.linalg.svd(weights)[1] - 1) ** 2))

    for strength, factor in ((0.005, 0.2), (0.0, 1.0)):
        weights = start
        synapses = teaching.MECHANISMS[name].begin(8, weights)
        for _ in range(800):
            patterns = rng.choice([-1.0, 1.0], (128, 8))
            change, synapses = teaching.teach(name, synapses, weights, patterns, 0.1, strength)
            weights = weights + change
        if strength:
            assert apart(weights) < factor * apart(start)
        else:
            np.testing.assert_array_equal(weights, start)


def test_spontaneous_activity_is_white_and_found_again(backend):
    """Mean 0, covariance 1 within five standard errors; the same from the same key, step and layer,
    in a stack as alone; another for another step, layer or key."""
    weights = backend.asarray(np.zeros((2, 4, 3)))
    keys = backend.asarray(np.array([5, 7]))
    found = np.asarray(teaching.spontaneous(keys, 9, 1, 2000, weights))
    assert found.shape == (2, 2000, 3)
    flat = found.reshape(-1, 3)
    assert np.max(np.abs(flat.T @ flat / 4000 - np.eye(3))) < 5 / math.sqrt(4000)
    assert np.max(np.abs(flat.mean(axis=0))) < 5 / math.sqrt(4000)
    alone = teaching.spontaneous(backend.asarray(np.array(7)), 9, 1, 2000, weights[1, ...])
    np.testing.assert_array_equal(np.asarray(alone), found[1])
    for step, layer in ((10, 1), (9, 2)):
        other = np.asarray(teaching.spontaneous(keys, step, layer, 2000, weights))
        assert np.mean(other == found) < 0.6


@pytest.mark.parametrize("name", list(PLASTICITY))
def test_a_stack_is_taught_as_its_networks_alone_in_every_library(rng, backend, name):
    weights = rng.standard_normal((2, 4, 4)) / 2
    rates, kind = rng.standard_normal((2, 7, 4)), teaching.MECHANISMS[name]
    synapses = kind.begin(4, backend.asarray(weights))
    w, x = backend.asarray(weights), backend.asarray(rates)
    direction, learnt = teaching.teach(name, synapses, w, x, 0.1, 0.2)
    assert isinstance(direction, backend.array_type)
    for i in range(2):
        own = kind.begin(4, weights[i])
        expected, after = teaching.teach(name, own, weights[i], rates[i], 0.1, 0.2)
        np.testing.assert_allclose(np.asarray(direction)[i], expected, atol=1e-14)
        for one, other in zip(learnt, after, strict=True):
            np.testing.assert_allclose(np.asarray(one)[i], other, atol=1e-14)


def test_whitening_refuses_more_units_than_they_read():
    with pytest.raises(CircuitError, match="layer 1 has 5 units that read 3; .* populations"):
        teaching.first_circuits("whitening", [np.zeros((5, 3))], np.array(1))
    found = teaching.first_circuits("populations", [np.zeros((5, 3))], np.array(1))
    assert found["to_inhibitory"][0].shape == (5, 5)


# --- inhibition that acts ---


def test_effective_weights_by_the_inverse(rng):
    lateral = np.array([[0.0, 0.3], [0.3, 0.0]])
    synapses = rng.standard_normal((2, 2))
    response = np.linalg.inv(np.eye(2) + lateral)
    drives = decorrelation.effective(decorrelation.DRIVES, synapses, lateral)
    inputs = decorrelation.effective(decorrelation.INPUTS, synapses, lateral)
    np.testing.assert_allclose(drives, response @ synapses, atol=1e-15)
    np.testing.assert_allclose(inputs, synapses @ response, atol=1e-15)
    assert not np.allclose(drives, inputs)


def test_synapses_behind_decorrelated_inputs_follow_the_gradient(rng):
    """The direction in W of a loss that depends on W R y, by PyTorch's autograd."""
    torch = pytest.importorskip("torch")
    lateral = np.array([[0.0, 0.4, 0.1], [0.4, 0.0, -0.2], [0.1, -0.2, 0.0]])
    synapses, y = rng.standard_normal((3, 3)), rng.standard_normal((5, 3))
    w = torch.tensor(synapses, requires_grad=True)
    response = torch.linalg.inv(torch.eye(3, dtype=torch.float64) + torch.tensor(lateral))
    h = torch.tensor(y) @ (w @ response).T
    (0.5 * (h - 1).square().sum()).backward()
    plain = (1 - h.detach().numpy()).T @ y  # minus the gradient, without what inhibition does to y
    found = decorrelation.through(decorrelation.INPUTS, plain, lateral)
    np.testing.assert_allclose(found, -w.grad.numpy(), atol=1e-12)
    np.testing.assert_array_equal(
        decorrelation.through(decorrelation.DRIVES, plain, lateral), plain
    )


@pytest.mark.parametrize("place", decorrelation.PLACES)
def test_inhibition_that_acts_decorrelates_what_it_acts_on(rng, place):
    """Fixed W: drives lose their correlations, about their mean; inputs theirs, about zero."""
    synapses = near_orthogonal(rng, 0.5)
    samples = exact_samples(covariance(rng))
    y = np.concatenate([samples, -samples]) + 0.5
    lateral = np.zeros((6, 6))

    def acting():
        weights = decorrelation.effective(place, synapses, lateral)
        rates = y @ weights.T if place == decorrelation.DRIVES else y
        if place == decorrelation.INPUTS:
            rates = rates @ np.linalg.inv(np.eye(6) + lateral)
        else:
            rates = rates - rates.mean(axis=0)
        found = rates.T @ rates / len(rates)
        return np.max(np.abs(found - np.diag(np.diag(found))))

    before = acting()
    for _ in range(3000):
        drives = y @ decorrelation.effective(place, synapses, lateral).T
        lateral = decorrelation.learn(place, lateral, drives, y, 0.05)
    assert before > 0.1
    assert acting() < 1e-6

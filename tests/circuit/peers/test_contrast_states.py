"""circuit.peers.contrast: digits at depth, critical strengths, what settles and what does not."""

from __future__ import annotations

import warnings
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from circuit.initialisation.networks import initialise
from circuit.network import Network, forward
from circuit.numerics.arrays import to_numpy
from circuit.peers import critical_strength, free_state, own_gradient
from circuit.peers.ep import RULE as EP
from circuit.peers.reading import signal_updates
from circuit.peers.signal import Signal
from circuit.settings.peers.contrast import EquilibriumPropagationSettings
from circuit.verification.judgement import Status
from tests.circuit.peers.literal_contrast import Literal

Settings = EquilibriumPropagationSettings


def told(network: Network, x: np.ndarray, t: np.ndarray, **settings: object) -> Signal:
    given = Settings(**settings)
    return EP.signal(network, forward(network, x), t, "quadratic", given, {}, 0)


# --- digits ---


def states_in_mpmath(w_s, b_s, x: np.ndarray, t: np.ndarray, gamma: float, beta: float):
    """Free state and change of one image, tanh units, a force: plain sweeps over the printed
    equations with so many digits that the difference of two rates has all it needs."""
    weights = [[list(map(mpf, row)) for row in w.astype(float)] for w in w_s]
    above = [[list(column) for column in zip(*w, strict=True)] for w in weights]
    biases, depth = [list(map(mpf, b.astype(float))) for b in b_s], len(w_s)
    s = [list(map(mpf, x.astype(float)))] + [[mpf(0)] * 3 for _ in b_s]

    def sweep(push: list[mpf], k: int) -> None:
        mp.dps = min(DIGITS, 10 + 4 * k)  # no more than it can know
        for layer in [*range(1, depth + 1), *range(depth - 1, 0, -1)]:
            for i in range(3):
                h = mpmath.fdot(weights[layer - 1][i], s[layer - 1]) + biases[layer - 1][i]
                back = (
                    mpf(gamma) * mpmath.fdot(above[layer][i], s[layer + 1])
                    if layer < depth
                    else push[i]
                )
                new[i] = mpmath.tanh(h + back)
            s[layer] = list(new)

    new = [mpf(0)] * 3
    for k in range(SWEEPS):
        sweep([mpf(0)] * 3, k)
    free = list(s)
    push = [mpf(beta) * (mpf(float(b)) - a) for a, b in zip(s[-1], t, strict=True)]
    for k in range(SWEEPS):
        sweep(push, k)
    moved = [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(free, s, strict=True)]
    return free[1:], moved[1:]


DIGITS, SWEEPS = 190, 60  # each of three digits, at gamma 1e-3


def test_layer_one_of_fifty_has_all_its_digits(rng: np.random.Generator) -> None:
    """Gamma 1e-3: its shift is 1e-149 of its rates, which no difference of rates can hold."""
    depth, gamma, beta = 50, 1e-3, 0.1
    weights = [1.4 * np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(depth)]
    weights = [w.astype("float32") for w in weights]  # which float64 and mpmath hold as well
    biases = [(0.3 * rng.standard_normal(3)).astype("float32") for _ in range(depth)]
    x, t = rng.standard_normal((1, 3)).astype("float32"), rng.random((1, 3)).astype("float32")
    with mp.workdps(DIGITS):
        free, change = states_in_mpmath(weights, biases, x[0], t[0], gamma, beta)
        assert mpmath.norm(change[0]) < mpf(10) ** -140
        nudged = [a + b for a, b in zip(free[0], change[0], strict=True)]
        assert [float(v) for v in nudged] == [float(v) for v in free[0]]  # negative control
        wanted = mp.matrix([[a * mpf(float(b)) for b in x[0]] for a in change[0]])
        wanted /= mpf(beta) * mpf(gamma) ** (depth - 1)
        for dtype, tolerance, allowed in (("float64", 1e-14, 3e-13), ("float32", 3e-7, 2e-5)):
            network = Network(
                tuple(w.astype(dtype) for w in weights),
                tuple(b.astype(dtype) for b in biases),
                ("tanh",) * depth,
                3,
                3,
            )
            settings = {"nudge": "force", "centred": False, "tolerance": tolerance}
            signal = told(network, x.astype(dtype), t.astype(dtype), gamma=gamma, beta=beta,
                          **settings)  # fmt: skip
            assert signal.rest is not None
            assert set(signal.rest.status) <= {Status.CONVERGED, Status.NOT_RESOLVABLE}
            assert signal.rest.residuals.max() < 20 * tolerance
            for layer in (1, 2, 25, 50):
                scale = signal.shifts.scales[layer - 1]
                size = mpmath.ldexp(mpf(scale.mantissa), scale.exponent)
                found = [size * mpf(float(v)) for v in signal.shifts.values[layer - 1][0]]
                gap = [a - b for a, b in zip(found, change[layer - 1], strict=True)]
                assert mpmath.norm(gap) < allowed * mpmath.norm(change[layer - 1])
                rates = signal.activity.rates[layer][0]
                off = [mpf(float(a)) - b for a, b in zip(rates, free[layer - 1], strict=True)]
                assert mpmath.norm(off) < allowed * mpmath.norm(free[layer - 1])
            update = mp.matrix(signal_updates(network, signal)[0].weights.astype(float).tolist())
            assert mpmath.mnorm(update - wanted, "f") < allowed * mpmath.mnorm(wanted, "f")


def test_weights_that_amplify_leave_the_range_of_no_float(rng: np.random.Generator) -> None:
    """Factors of ten a layer: scales run with them, and float32 carries what float64 does."""
    depth = 60
    weights = tuple(10 * np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(depth))
    weights = (weights[0] * 1e-30, *weights[1:])
    biases = (np.zeros(3),) * depth
    found = []
    for dtype in ("float64", "float32"):
        network = Network(
            tuple(w.astype(dtype) for w in weights),
            tuple(b.astype(dtype) for b in biases),
            ("linear",) * depth,
            3,
            3,
        )
        x = np.ones((1, 3), dtype)
        signal = told(network, 1e-12 * x, 0 * x, gamma=1e-5, beta=0.1, nudge="force")
        assert signal.rest is not None and all(signal.rest.converged)
        found.append([signal.shifts.norm(layer).log10 for layer in range(1, depth + 1)])
        assert max(np.abs(value).max() for value in signal.shifts.values) < 2**21.1
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    assert found[0][0] - found[0][-1] == pytest.approx(59 * -4, abs=1)


# --- strengths ---


@pytest.mark.parametrize("depth", [3, 5, 8])
def test_the_critical_strength_of_orthogonal_weights(depth: int, rng: np.random.Generator) -> None:
    """Eigenvalues 2 sqrt(gamma) cos(k pi / (L + 1)), each as often as there are units."""
    network = initialise([4] * (depth + 1), rng, activation="linear")
    gamma = 0.17
    literal = Literal(network.weights, network.biases, ["linear"] * depth, gamma)
    found = np.sort(np.linalg.eigvals(literal.coupling()).real)
    k = np.arange(1, depth + 1)
    wanted = np.sort(np.repeat(2 * gamma**0.5 * np.cos(k * np.pi / (depth + 1)), 4))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    critical = 1 / (4 * np.cos(np.pi / (depth + 1)) ** 2)
    assert critical_strength(network) == pytest.approx(critical, rel=1e-12)
    x, t = rng.random((3, 4)), rng.random((3, 4))
    for gamma in (1.02 * critical, 1.5 * critical):
        beyond = told(network, x, t, gamma=gamma, nudge="force").rest
        assert beyond is not None
        assert set(beyond.status) <= {Status.DIVERGED, Status.CYCLING}
        assert f"not below the critical {critical:.4g}" in beyond.words
        assert "\n" not in beyond.words
    before = told(network, x, t, gamma=0.95 * critical, nudge="force").rest
    assert before is not None
    assert all(before.converged) and before.words == ""


@pytest.mark.parametrize("widths", [(5, 7, 4, 6), (9, 80, 90, 70)])
def test_the_critical_strength_in_general(
    widths: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Where a dense coupling has the eigenvalue 1; small ones as matrices, large ones by products;
    hidden units that nobody reads do not count."""
    reads = (widths[0], widths[1] - 2, widths[2])
    weights = tuple(rng.standard_normal((n, m)) for n, m in zip(widths[1:], reads, strict=True))
    biases = tuple(np.zeros(n) for n in widths[1:])
    network = Network(weights, biases, "tanh", widths[0], widths[-1])
    critical = critical_strength(network)
    literal = Literal(weights, biases, ["tanh"] * 3, critical)
    assert np.linalg.eigvals(literal.coupling()).real.max() == pytest.approx(1, rel=1e-9)
    shallow = Network(weights[:1], biases[:1], "tanh", widths[0], widths[1])
    assert critical_strength(shallow) == float("inf")


# --- statuses ---


def random_case(rng: np.random.Generator) -> tuple[Network, Literal, np.ndarray, np.ndarray, float]:
    """A small network, gamma from 0.003 to 1, weights from tame to wild."""
    widths = rng.integers(2, 5, rng.integers(3, 5)).tolist()
    unit = str(rng.choice(["tanh", "leaky_relu", "asinh", "linear"]))
    size = rng.choice([0.5, 1.0, 2.0])
    weights = [size * rng.standard_normal((n, m)) / m**0.5 for m, n in pairwise(widths)]
    biases = [0.3 * rng.standard_normal(n) for n in widths[1:]]
    gamma = float(10 ** rng.uniform(-2.5, 0))
    network = Network(tuple(weights), tuple(biases), unit, widths[0], widths[-1])
    literal = Literal(weights, biases, [unit] * len(weights), gamma)
    x, t = rng.standard_normal((1, widths[0])), rng.random((1, widths[-1]))
    return network, literal, x, t, gamma


def test_no_status_is_false(rng: np.random.Generator) -> None:
    """Of 200 small circuits: what is called settled is a root of the printed equations, and a
    minimum of the energy, not a saddle; what lies below the critical strength settles; and what
    does not settle lies beyond."""
    seen = dict.fromkeys(Status, 0)
    for _ in range(200):
        network, literal, x, t, gamma = random_case(rng)
        signal = told(network, x, t, gamma=gamma, beta=0.2, centred=False, sweeps=3000)
        rest = signal.rest
        assert rest is not None
        slopes = [unit.largest_slope for unit in network.activations]
        bound = np.linalg.eigvals(literal.coupling()).real.max() * max(slopes)
        seen[rest.status[0]] += 1
        if bound < 1:
            assert rest.status == (Status.CONVERGED,)
        else:
            assert rest.words == "" or "not below the critical" in rest.words
            assert bool(rest.words) != (rest.status == (Status.CONVERGED,))
        if rest.status != (Status.CONVERGED,):
            continue
        free = [rates[0] for rates in signal.activity.rates[1:]]
        drives = literal.drives(x[0], free)
        steep = np.concatenate(literal.slopes(drives))
        assert np.linalg.eigvals(steep[:, None] * literal.coupling()).real.max() < 1
        nudged = [y + signal.shifts.absolute(i)[0] for i, y in enumerate(free, 1)]
        after = literal.drives(x[0], nudged)
        after[-1] = after[-1] + 0.2 * (t[0] - nudged[-1])
        pairs = zip(free, literal.rates(drives), literal.rates(after), strict=True)
        for layer, (y, wanted, wanted_nudged) in enumerate(pairs, 1):
            assert np.linalg.norm(y - wanted) <= 1.1e-10 * np.linalg.norm(y)
            moved = signal.shifts.absolute(layer)[0]
            missed = np.linalg.norm(moved - (wanted_nudged - wanted))
            assert missed <= 1.1e-10 * np.linalg.norm(moved) + 1e-14 * np.linalg.norm(y)
    assert seen[Status.CONVERGED] > 100
    assert seen[Status.DIVERGED] > 10


def test_a_budget_that_ended_is_not_called_settled(rng: np.random.Generator) -> None:
    network = initialise([6, 6, 6, 6], rng, activation="tanh")
    x, t = rng.random((4, 6)), rng.random((4, 6))
    rest = told(network, x, t, gamma=0.2, sweeps=2).rest
    assert rest is not None
    assert rest.status == (Status.OUT_OF_BUDGET,) * 4
    assert rest.residuals.max() > 1e-10
    finer = told(network, x, t, gamma=0.2, tolerance=1e-17).rest
    assert finer is not None
    assert set(finer.status) <= {Status.NOT_RESOLVABLE, Status.CONVERGED}  # exactly
    assert Status.NOT_RESOLVABLE in finer.status


def test_images_without_a_state_spoil_no_other(rng: np.random.Generator) -> None:
    """Leaky-ReLU beyond the critical strength: some images run away, one input is out of the range
    of floats in the end; the others are where they are without them, as is the gradient."""
    weights = tuple(1.1 * np.linalg.qr(rng.standard_normal((5, 5)))[0] for _ in range(3))
    biases = tuple(0.5 * rng.standard_normal(5) for _ in range(3))
    network = Network(weights, biases, "leaky_relu", 5, 5)
    x, t = rng.standard_normal((40, 5)), rng.random((40, 5))
    x[7] *= 1e307
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        signal = told(network, x, t, gamma=0.9, beta=0.1, nudge="force", centred=False)
    assert signal.rest is not None
    good = np.flatnonzero(signal.rest.converged)
    assert 3 < len(good) < 37
    assert 7 not in good
    few = told(network, x[good], t[good], gamma=0.9, beta=0.1, nudge="force", centred=False)
    assert few.rest is not None
    assert all(few.rest.converged)
    for layer in (1, 2, 3):
        rates = signal.activity.rates[layer]
        assert np.isfinite(rates).all()
        np.testing.assert_allclose(rates[good], few.activity.rates[layer], rtol=1e-9, atol=1e-10)
        shifts = signal.shifts.absolute(layer)
        assert np.isfinite(shifts).all()
        np.testing.assert_allclose(shifts[good], few.shifts.absolute(layer), rtol=1e-7, atol=1e-10)
    given = Settings(gamma=0.9)
    all_of = own_gradient(network, signal, t, "quadratic", given)
    for one, other in zip(
        all_of, own_gradient(network, few, t[good], "quadratic", given), strict=True
    ):
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-7, atol=1e-9)


# --- arrays ---


@pytest.mark.parametrize(("nudge", "loss"), [("spring", "cross_entropy"), ("clamp", "quadratic")])
def test_stacks_and_other_arrays(nudge: str, loss: str, backend, rng: np.random.Generator) -> None:
    """A stack of two networks, of which one is too strong, in every library, as one by one."""
    pairs = [(4, 5), (6, 4), (3, 6)]
    ws = [rng.standard_normal((2, n, m)) / m**0.5 * 0.8 for n, m in pairs]
    ws = [w * np.array([1.0, 4.0])[:, None, None] for w in ws]
    bs = [0.2 * rng.standard_normal((2, n)) for n, _ in pairs]
    x, t = rng.standard_normal((2, 5, 5)), rng.random((2, 5, 3))
    given = Settings(gamma=0.05, beta=0.2, nudge=nudge, sweeps=24)
    stack = Network(
        tuple(map(backend.asarray, ws)), tuple(map(backend.asarray, bs)), ("leaky_relu",) * 3, 5, 3
    )
    signal = EP.signal(stack, forward(stack, backend.asarray(x)), backend.asarray(t), loss, given,
                       {}, 0)  # fmt: skip
    assert signal.rest is not None
    changes = signal_updates(stack, signal)
    assert isinstance(changes[0].weights, backend.array_type)
    settled = signal.rest.converged.reshape(2, 5)
    assert settled[0].all()
    assert not settled[1].all()
    for i in range(2):
        one = Network(tuple(w[i] for w in ws), tuple(b[i] for b in bs), ("leaky_relu",) * 3, 5, 3)
        alone = EP.signal(one, forward(one, x[i]), t[i], loss, given, {}, 0)
        assert alone.rest is not None
        np.testing.assert_array_equal(settled[i], alone.rest.converged)
        for layer in (1, 2, 3):
            found = to_numpy(signal.shifts.absolute(layer))[i][settled[i]]
            wanted = alone.shifts.absolute(layer)[settled[i]]
            np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)
        if i == 0:
            for found, wanted in zip(changes, signal_updates(one, alone), strict=True):
                np.testing.assert_allclose(to_numpy(found.weights)[0], wanted.weights, rtol=1e-7,
                                           atol=1e-9)  # fmt: skip
    assert free_state(stack, forward(stack, backend.asarray(x)), given)[1].status

"""circuit.peers.contrast: the theorem, roots, and what a nudge is; against dense literal states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.network import Network, forward
from circuit.numerics.scale import Scale
from circuit.peers.chl import RULE as CHL
from circuit.peers.ep import RULE as EP
from circuit.peers.reading import signal_updates
from circuit.peers.rule import Rule
from circuit.peers.signal import Signal
from circuit.plasticity import Update
from tests.circuit.peers.literal_contrast import Literal, Vectors

WIDTHS = (5, 4, 6, 3)


def softmax(y: np.ndarray) -> np.ndarray:
    e = np.exp(y - y.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def quartic(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Error of the loss sum (y - t)^4 / 4."""
    return np.asarray((t - y) ** 3)


# error and value of each loss
LOSSES: dict[str, tuple[Callable[..., np.ndarray], Callable[..., float]]] = {
    "quadratic": (lambda y, t: t - y, lambda y, t: float(((y - t) ** 2).sum() / 2)),
    "cross_entropy": (
        lambda y, t: t - softmax(y),
        lambda y, t: float(-(t * np.log(softmax(y))).sum()),
    ),
    "quartic": (quartic, lambda y, t: float(((y - t) ** 4).sum() / 4)),
}


def given(loss: str) -> str | Callable[..., np.ndarray]:
    return quartic if loss == "quartic" else loss


class Setting:
    """A random network, its literal twin, images and targets."""

    def __init__(
        self,
        rng: np.random.Generator,
        gamma: float,
        unit: str = "tanh",
        widths: tuple[int, ...] = WIDTHS,
        reads: tuple[int, ...] | None = None,
        n_outputs: int | None = None,
        images: int = 3,
        size: float = 0.8,
    ) -> None:
        reads = widths[:-1] if reads is None else reads
        self.weights = [
            size * rng.standard_normal((n, m)) / m**0.5
            for n, m in zip(widths[1:], reads, strict=True)
        ]
        self.biases = [0.3 * rng.standard_normal(n) for n in widths[1:]]
        self.n = widths[-1] if n_outputs is None else n_outputs
        self.units = [unit] * len(self.weights)
        self.gamma = gamma
        self.x = rng.standard_normal((images, widths[0]))
        self.t = softmax(rng.standard_normal((images, self.n)))
        self.network = Network(
            tuple(self.weights), tuple(self.biases), tuple(self.units), widths[0], self.n
        )

    @property
    def literal(self) -> Literal:
        return Literal(self.weights, self.biases, self.units, self.gamma)

    def signal(self, rule: Rule, loss: str = "quadratic", **settings: object) -> Signal:
        record = rule.settings(gamma=self.gamma, **settings)
        activity = forward(self.network, self.x)
        return rule.signal(self.network, activity, self.t, given(loss), record, {}, 0)

    def own(self, rule: Rule, signal: Signal, loss: str = "quadratic") -> tuple[Update, ...]:
        record = rule.settings(gamma=self.gamma)
        assert rule.own_gradient is not None
        return rule.own_gradient(self.network, signal, self.t, given(loss), record)

    def free_loss(self, loss: str) -> float:
        """The mean loss at the literal free states."""
        value = LOSSES[loss][1]
        states = [self.literal.at_rest(x) for x in self.x]
        return float(
            np.mean([value(s[-1][: self.n], t) for s, t in zip(states, self.t, strict=True)])
        )

    def descent(self, loss: str, layer: int, dw: np.ndarray, db: np.ndarray) -> float:
        """Minus the derivative of the loss along a change of one layer, by differences of the
        loss at free states, the error of step^2 taken out.
        """

        def difference(step: float) -> float:
            found = []
            w, b = self.weights[layer], self.biases[layer]
            for sign in (1, -1):
                self.weights[layer], self.biases[layer] = w + sign * step * dw, b + sign * step * db
                found.append(self.free_loss(loss))
            self.weights[layer], self.biases[layer] = w, b
            return (found[0] - found[1]) / (2 * step)

        return -(4 * difference(3e-4) - difference(6e-4)) / 3


def flat(changes: tuple[Update, ...]) -> np.ndarray:
    return np.concatenate([np.concatenate([c.weights.ravel(), c.biases]) for c in changes])


@pytest.mark.parametrize(
    ("gamma", "loss"),
    [(1.0, "quartic"), (0.3, "cross_entropy"), (0.3, "quadratic"), (0.01, "quadratic")],
)
def test_the_update_is_the_gradient_of_the_loss_at_the_free_state(
    gamma: float, loss: str, rng: np.random.Generator
) -> None:
    """At every gamma, in every layer, for weak nudges of both signs; the second of the two terms
    left out, it is not."""
    case = Setting(rng, gamma)
    signal = case.signal(EP, loss, beta=1e-5, tolerance=1e-12)
    assert all(signal.rest.converged)
    changes = signal_updates(case.network, signal)
    for layer, change in enumerate(changes):
        dw = rng.standard_normal(change.weights.shape)
        db = rng.standard_normal(change.biases.shape)
        wanted = case.descent(loss, layer, dw, db)
        size = np.linalg.norm(dw) * np.linalg.norm(change.weights)
        found = float((change.weights * dw).sum() + (change.biases * db).sum())
        assert abs(found - wanted) < 1e-7 * size
        if layer and gamma > 0.1:
            alone = signal.shifts.per_gain(layer + 1).T @ signal.presynaptic[layer] / len(case.x)
            assert np.linalg.norm(alone - change.weights) > 0.03 * np.linalg.norm(change.weights)


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("unit", ["tanh", "leaky_relu", "asinh"])
def test_own_gradient_is_implicit_differentiation(
    unit: str, loss: str, rng: np.random.Generator
) -> None:
    """By the adjoint of the dense linear system, with auxiliary units among the outputs and hidden
    ones, which nobody reads."""
    case = Setting(rng, 0.2, unit, (6, 5, 5, 4), (5, 4, 3), n_outputs=2)
    signal = case.signal(EP, loss, tolerance=1e-12)
    literal, wanted = case.literal, [0.0] * 3
    biases = [0.0] * 3
    for x, t in zip(case.x, case.t, strict=True):
        s = literal.at_rest(x)
        slopes = np.concatenate(literal.slopes(literal.drives(x, s)))
        error = np.zeros(len(slopes))
        error[-4:-2] = LOSSES[loss][0](s[-1][:2], t)
        # mu = (1 - (A C)^T)^-1 e, and A mu is what a change of drives counts for
        mu = np.linalg.solve(np.eye(len(slopes)) - (slopes[:, None] * literal.coupling()).T, error)
        counts, below = literal.split(slopes * mu), [x, *s]
        for i, w in enumerate(case.weights):
            n = w.shape[1]
            dw = np.outer(counts[i], below[i][:n])
            if i:
                dw = dw + literal.gamma * np.outer(s[i], counts[i - 1][:n])
            wanted[i] = wanted[i] + dw / len(case.x)
            biases[i] = biases[i] + counts[i] / len(case.x)
    for change, w, b in zip(case.own(EP, signal, loss), wanted, biases, strict=True):
        np.testing.assert_allclose(change.weights, w, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(change.biases, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("both_sides", [True, False])
def test_what_a_nudge_of_finite_strength_misses(both_sides: bool, rng: np.random.Generator) -> None:
    """Of order beta^2 with both signs, of order beta with one."""
    case = Setting(rng, 0.2)
    betas, misses = (0.04, 0.02, 0.01), []
    for beta in betas:
        signal = case.signal(EP, beta=beta, centred=both_sides, tolerance=1e-12)
        own = flat(case.own(EP, signal))
        misses.append(np.linalg.norm(flat(signal_updates(case.network, signal)) - own))
    slope = np.polyfit(np.log(betas), np.log(misses), 1)[0]
    assert abs(slope - (2 if both_sides else 1)) < 0.05


def test_back_propagation_is_the_limit_of_weak_feedback(rng: np.random.Generator) -> None:
    """Chain rule, literally; what is missing is of first order in gamma."""
    gammas, misses = (4e-3, 2e-3, 1e-3), []
    seed = int(rng.integers(1000))
    for gamma in gammas:
        case = Setting(np.random.default_rng(seed), gamma)
        signal = case.signal(EP, beta=1e-5, tolerance=1e-12)
        changes, missed, size = signal_updates(case.network, signal), 0.0, 0.0
        wanted = [np.zeros_like(w) for w in case.weights]
        for x, t in zip(case.x, case.t, strict=True):
            y = [x]
            for w, b in zip(case.weights, case.biases, strict=True):
                y.append(np.tanh(w @ y[-1] + b))
            delta = (t - y[-1]) * (1 - y[-1] ** 2)
            for i in reversed(range(3)):
                wanted[i] += np.outer(delta, y[i]) / len(case.x)
                delta = (case.weights[i].T @ delta) * (1 - y[i] ** 2)
        for change, w in zip(changes, wanted, strict=True):
            missed += ((change.weights - w) ** 2).sum()
            size += (w**2).sum()
        misses.append((missed / size) ** 0.5)
    slope = np.polyfit(np.log(gammas), np.log(misses), 1)[0]
    assert abs(slope - 1) < 0.02
    assert misses[-1] < 0.02


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("force", "quartic"),
        ("spring", "quadratic"),
        ("spring", "cross_entropy"),
        ("spring", "quartic"),
        ("clamp", "cross_entropy"),
    ],
)
def test_nudges_are_what_they_are_called(
    kind: str, loss: str, sign: int, rng: np.random.Generator
) -> None:
    """The change is the difference of two literal roots, with outputs that no nudge reaches."""
    beta = 0.3
    case = Setting(rng, 0.3, "tanh", (5, 4, 5), (5, 3), n_outputs=3)
    one = case.signal(EP, loss, nudge=kind, beta=beta, centred=False, tolerance=1e-12)
    both = case.signal(EP, loss, nudge=kind, beta=beta, tolerance=1e-12)
    assert all(one.rest.converged) and all(both.rest.converged)
    error, literal = LOSSES[loss][0], case.literal
    for k, (x, t) in enumerate(zip(case.x, case.t, strict=True)):
        free = literal.at_rest(x)
        e = error(free[-1][:3], t)
        pushes: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
            "force": lambda s, e=e: sign * beta * e,
            "spring": lambda s, t=t: sign * beta * error(s[:3], t),
            "clamp": None,
        }
        held = free[-1][:3] + sign * beta * e if kind == "clamp" else None
        nudged = literal.at_rest(x, free, pushes[kind], held)
        for layer, (a, b) in enumerate(zip(free, nudged, strict=True), 1):
            np.testing.assert_allclose(one.activity.rates[layer][k], a, rtol=1e-11, atol=1e-12)
            found = one.shifts.absolute(layer)[k]
            if sign < 0:  # what both signs give, less what the one gave
                found = found - both.shifts.absolute(layer)[k]
            np.testing.assert_allclose(found, b - a, rtol=1e-9, atol=1e-11)
            middle = one.presynaptic[layer][k]
            if sign > 0:
                np.testing.assert_allclose(middle, (a + b) / 2, rtol=1e-10, atol=1e-11)
            else:
                middle = 2 * both.presynaptic[layer][k] - (2 * middle - a)
                np.testing.assert_allclose(middle, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("beta", [5.0, 300.0])
def test_a_stiff_spring_is_nearly_a_clamp(beta: float, rng: np.random.Generator) -> None:
    """With targets at the other end of tanh, where slopes vanish; d = t - s up to 1/beta."""
    case = Setting(rng, 0.1)
    case.t = np.where(case.t > 0.3, 0.95, -0.95)
    signal = case.signal(EP, nudge="spring", beta=beta, centred=False, tolerance=1e-12)
    assert all(signal.rest.converged)
    for k, (x, t) in enumerate(zip(case.x, case.t, strict=True)):
        free = case.literal.at_rest(x)
        start: Vectors = [
            signal.activity.rates[layer][k] + signal.shifts.absolute(layer)[k]
            for layer in (1, 2, 3)
        ]
        nudged = case.literal.at_rest(x, start, lambda s, t=t: beta * (t - s))
        np.testing.assert_allclose(start[-1], nudged[-1], rtol=1e-10)
        assert np.abs(nudged[-1] - t).max() < 4 / beta
        np.testing.assert_allclose(
            signal.shifts.absolute(1)[k], nudged[0] - free[0], rtol=1e-7, atol=1e-12
        )


def test_chl_clamps_at_the_target_and_ep_pulls_both_ways(rng: np.random.Generator) -> None:
    """What the two names stand for, and gains that divide."""
    case = Setting(rng, 0.1)
    clamped, pulled = case.signal(CHL), case.signal(EP)
    free = clamped.activity.rates[-1]
    np.testing.assert_allclose(free + clamped.shifts.absolute(3), case.t, rtol=1e-14)
    assert [gain.value for gain in clamped.shifts.gains] == pytest.approx([0.01, 0.1, 1])
    assert [gain.value for gain in pulled.shifts.gains] == pytest.approx([0.002, 0.02, 0.2])
    assert clamped.reading == pulled.reading == "contrast"


def test_a_spring_that_pushes_away_for_good_is_refused(rng: np.random.Generator) -> None:
    """With beta 1 on both sides the output has no state; with one side, or a force, it has."""
    case = Setting(rng, 0.1)
    with pytest.raises(CircuitError, match="beta 1 on both sides.*below 1") as refusal:
        case.signal(EP, beta=1.0)
    assert "\n" not in str(refusal.value)
    for settings in ({"centred": False}, {"nudge": "force"}, {"nudge": "clamp"}):
        assert all(case.signal(EP, beta=1.0, **settings).rest.converged)


def test_an_error_of_zero_moves_nothing(rng: np.random.Generator) -> None:
    """An image that is right already is at rest, and teaches nothing."""
    case = Setting(rng, 0.1)
    case.t = case.t.copy()
    case.t[1] = case.signal(EP, nudge="force").activity.rates[-1][1]
    signal = case.signal(EP, nudge="force")
    assert all(signal.rest.converged)
    assert [float(np.abs(value[1]).max()) for value in signal.shifts.values] == [0, 0, 0]
    assert signal.shifts.scales[0] != Scale.of(0.0)

"""circuit.losses against mpmath's central differences and torch autograd."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from circuit.errors import CircuitError, NotFinite, ShapeMismatch
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning
from circuit.losses import LOSSES, output_error, quadratic, softmax_cross_entropy
from circuit.network import Activity, Network, forward
from circuit.units.leaky_relu import leaky_relu
from circuit.verification.doubt import doubt

EPS = np.finfo(float).eps


def quadratic_loss(y: list[mpf], t: list[mpf]) -> mpf:
    """Eq. 2: half the squared distance."""
    return sum((a - b) ** 2 for a, b in zip(y, t, strict=True)) / 2


def cross_entropy_loss(y: list[mpf], t: list[mpf]) -> mpf:
    """Minus sum t log softmax(y)."""
    total = sum(mpmath.exp(a) for a in y)
    return -sum(b * mpmath.log(mpmath.exp(a) / total) for a, b in zip(y, t, strict=True))


def downhill(loss: Callable[[list[mpf], list[mpf]], mpf], y: np.ndarray, t: np.ndarray) -> list:
    """-dL/dy by central differences, step 1e-30 (error of order 1e-60)."""
    step, slopes = mpf(10) ** -30, []
    rates, targets = [mpf(a) for a in y.tolist()], [mpf(b) for b in t.tolist()]
    for i in range(len(rates)):
        up = [a + step * (i == j) for j, a in enumerate(rates)]
        down = [a - step * (i == j) for j, a in enumerate(rates)]
        slopes.append(-(loss(up, targets) - loss(down, targets)) / (2 * step))
    return slopes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize(
    ("loss", "literal"),
    [(quadratic, quadratic_loss), (softmax_cross_entropy, cross_entropy_loss)],
)
def test_the_error_is_minus_the_gradient(
    loss: Callable, literal: Callable, size: float, dtype: str, rng: np.random.Generator
) -> None:
    """e = -dL/dy, for outputs up to 1000, and targets that add up to 1 or to something else."""
    y = (size * rng.standard_normal((3, 4))).astype(dtype)
    t = np.array([[0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], [0.5, 2.0, 0.0, 1.0]], dtype=dtype)
    got = loss(y, t)
    assert got.dtype == dtype
    with mp.workdps(120):  # the step squared, and as much again
        slopes = [downhill(literal, *row) for row in zip(y, t, strict=True)]
        wanted = np.array(slopes, dtype=float)
    # rounding of y and t; in exp, the rounding of y - max(y) is what counts
    allowed = 8 * np.finfo(dtype).eps * (1 + size)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=float(allowed))


@pytest.mark.parametrize("loss", [quadratic, softmax_cross_entropy])
def test_a_stack_of_batches(loss: Callable, rng: np.random.Generator) -> None:
    """Every sample for itself, under any leading axes."""
    y, t = rng.standard_normal((2, 3, 5, 4)), rng.random((2, 3, 5, 4))
    together = loss(y, t)
    for index in np.ndindex(2, 3, 5):
        alone = loss(y[index][None], t[index][None])[0]
        np.testing.assert_allclose(together[index], alone, rtol=0, atol=4 * EPS)


def test_cross_entropy_does_not_overflow() -> None:
    """softmax(1000, 0) = (1, 0)."""
    error = softmax_cross_entropy(np.array([[1000.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert error.tolist() == [[-1.0, 1.0]]


def test_against_torch_autograd(rng: np.random.Generator) -> None:
    """The losses that torch calls mse_loss (times n/2) and cross_entropy."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    y, t = rng.standard_normal((5, 4)), rng.random((5, 4))
    t /= t.sum(axis=1, keepdims=True)
    functional = torch.nn.functional
    for ours, theirs in (
        (quadratic, lambda a, b: functional.mse_loss(a, b, reduction="sum") / 2),
        (softmax_cross_entropy, lambda a, b: functional.cross_entropy(a, b, reduction="sum")),
    ):
        outputs = torch.tensor(y, requires_grad=True)
        theirs(outputs, torch.tensor(t)).backward()
        np.testing.assert_allclose(ours(y, t), -outputs.grad.numpy(), rtol=0, atol=10 * EPS)


@pytest.fixture
def setting(rng: np.random.Generator) -> tuple[Network, Activity]:
    """A network with 5 output units, 3 of which carry an error signal, and 4 samples."""
    network = initialise((6, 5, 5), rng, n_outputs=3, activation=leaky_relu())
    return network, forward(network, rng.standard_normal((4, 6)))


def test_only_outputs_with_an_error_signal_are_compared(setting: tuple[Network, Activity]) -> None:
    """e = t - y (Eq. 2) of the first n_outputs units; auxiliary outputs have no target."""
    network, activity = setting
    targets = np.arange(12.0).reshape(4, 3)
    error = output_error(network, activity, targets)
    np.testing.assert_array_equal(error, targets - activity.rates[-1][:, :3])
    np.testing.assert_array_equal(output_error(network, activity, targets, "quadratic"), error)


def test_losses_by_name_and_by_function(setting: tuple[Network, Activity]) -> None:
    """A name stands for its function, and any function of the same signature will do."""
    network, activity = setting
    outputs, targets = activity.rates[-1][:, :3], np.full((4, 3), 1 / 3)
    for name, loss in LOSSES.items():
        np.testing.assert_array_equal(
            output_error(network, activity, targets, name), loss(outputs, targets)
        )
    assert {"quadratic": quadratic, "cross_entropy": softmax_cross_entropy} == LOSSES

    def quartic(y: np.ndarray, t: np.ndarray) -> np.ndarray:  # L = |y - t|^4 / 4
        return (t - y) ** 3

    np.testing.assert_array_equal(
        output_error(network, activity, targets, quartic), (targets - outputs) ** 3
    )


@pytest.mark.parametrize("loss", ["cross_entropy", softmax_cross_entropy])
@pytest.mark.parametrize("outputs", [1, 2])
def test_cross_entropy_is_refused_where_its_gradient_is_nothing(
    outputs: int, loss: str | Callable, rng: np.random.Generator
) -> None:
    """softmax(y) of one output is 1, and dL/dy = 0, at every y; of two it is not."""
    network = initialise((6, 5, 5), rng, n_outputs=outputs, activation=leaky_relu())
    activity = forward(network, rng.standard_normal((4, 6)))
    y, targets = activity.rates[-1][:, :outputs], rng.random((4, outputs))
    with mp.workdps(120):
        slopes = [downhill(cross_entropy_loss, *row) for row in zip(y, targets, strict=True)]
    if outputs == 1:
        assert max(abs(slope) for (slope,) in slopes) < mpf(10) ** -60
        with pytest.raises(CircuitError, match=r"cross_entropy of 1 output.*use loss quadratic"):
            output_error(network, activity, targets, loss)
        with pytest.raises(CircuitError, match="cross_entropy of 1 output"):
            begin_learning(network, Lesson("bp", loss="cross_entropy"))
        error = output_error(network, activity, targets)
        np.testing.assert_array_equal(error, targets - y)
    else:
        error = output_error(network, activity, targets, loss)
        np.testing.assert_allclose(error, np.array(slopes, dtype=float), rtol=0, atol=16 * EPS)
        assert np.abs(error).min() > 1e-3
        begin_learning(network, Lesson("bp", loss="cross_entropy"))


def test_the_loss_sees_targets_as_they_are_meant(setting: tuple[Network, Activity]) -> None:
    """(outputs, targets), in this order: paper section 5, t_L = y_L - dL/dy_L."""
    network, activity = setting
    seen = []
    targets = np.full((4, 3), 7.0)
    output_error(network, activity, targets, lambda y, t: seen.extend([y, t]) or t - y)
    np.testing.assert_array_equal(seen[0], activity.rates[-1][:, :3])
    assert seen[1] is targets


GOOD = np.zeros((4, 3))
REFUSALS = {
    "unknown loss": (
        GOOD,
        "hinge",
        CircuitError,
        "'hinge' is unknown; choose from quadratic, cross",
    ),
    "targets for all units": (
        np.zeros((4, 5)),
        "quadratic",
        ShapeMismatch,
        r"targets have shape \(4, 5\) .* needs \(4, 3\)",
    ),
    "one target for all": (np.zeros(3), "quadratic", ShapeMismatch, r"shape \(3,\)"),
    "labels": (np.zeros((4, 3), dtype=int), "quadratic", ShapeMismatch, "dtype int"),
    "other precision": (
        GOOD.astype("float32"),
        "quadratic",
        ShapeMismatch,
        "dtype float32; .* of float64",
    ),
    "NaN": (GOOD + np.nan, "quadratic", NotFinite, r"targets holds nan at index \(0, 0\)"),
    "infinity": (GOOD + np.inf, "quadratic", NotFinite, "targets holds inf"),
    "a loss, not its gradient": (
        GOOD,
        lambda y, t: ((y - t) ** 2).sum(axis=-1),
        ShapeMismatch,
        r"returned an error of shape \(4,\)",
    ),
    "error in another precision": (
        GOOD,
        lambda y, t: (t - y).astype("float32"),
        ShapeMismatch,
        "float32",
    ),
    "NaN in the error": (
        GOOD,
        lambda y, t: y * np.nan,
        NotFinite,
        "the output error holds nan",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str, setting: tuple[Network, Activity]) -> None:
    """A typed exception, in one line that names the value."""
    targets, loss, kind, words = REFUSALS[case]
    with pytest.raises(kind, match=words) as refusal:
        output_error(*setting, targets, loss)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("total", [0.01, 1.0, 300.0])
def test_cross_entropy_is_known_to_the_rounding_that_it_says(total: float) -> None:
    """Against mpmath, for targets of any sum; some of 50 samples are off by a tenth of it."""
    rng = np.random.default_rng(8)
    outputs, targets = 3 * rng.standard_normal((50, 7)), total * rng.dirichlet(np.ones(7), 50)
    found, said = softmax_cross_entropy(outputs, targets), doubt(targets, "cross_entropy")
    assert said.steepness == pytest.approx(total / 2)
    away = []
    with mp.workdps(40):
        for one, y, t in zip(found, outputs, targets, strict=True):
            powers = [mp.exp(mpf(float(v))) for v in y]
            whole = mp.fsum(mpf(float(v)) for v in t)
            exact = [
                mpf(float(a)) - whole * p / mp.fsum(powers) for a, p in zip(t, powers, strict=True)
            ]
            gap = [mpf(float(a)) - b for a, b in zip(one, exact, strict=True)]
            away.append(float(mp.norm(gap)))
    assert 0.05 * said.rounding < max(away) <= said.rounding

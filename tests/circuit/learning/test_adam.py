"""circuit.learning.adam against PyTorch's, step by step, and against the printed algorithm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.learning import adam
from circuit.learning.adam import BLOCK, REFERENCE, Adam
from tests.conftest import Backend

SETTINGS = (
    Adam(),
    Adam(learning_rate=0.03, beta1=0.8, beta2=0.95, epsilon=1e-3),
    Adam(beta1=0.0),
    replace(REFERENCE, learning_rate=1e-3),
)


def directions(steps: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Of very different sizes, and none at all in some places."""
    sizes = 10.0 ** rng.uniform(-9, 3, shape) * (rng.random(shape) > 0.2)
    return rng.standard_normal((steps, *shape)) * sizes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("settings", [s for s in SETTINGS if s.bias_correction])
def test_against_torch_step_by_step(settings: Adam, dtype: str, rng: np.random.Generator) -> None:
    """torch.optim.Adam, which takes gradients where we take directions of descent."""
    torch = pytest.importorskip("torch")
    start = rng.standard_normal((7, 5)).astype(dtype)
    theirs = torch.nn.Parameter(torch.asarray(start.copy()))
    optimiser = torch.optim.Adam(
        [theirs],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
    )
    ours, first, second = start, np.zeros_like(start), np.zeros_like(start)
    for steps, direction in enumerate(directions(40, start.shape, rng).astype(dtype)):
        ours, first, second = adam.step(settings, steps, ours, direction, first, second)
        theirs.grad = torch.asarray(-direction)
        optimiser.step()
        state, eps = optimiser.state[theirs], np.finfo(dtype).eps
        # every step rounds the parameter once, and its own length a few times
        allowed = (steps + 1) * eps * (np.abs(start).max() + 1) * (1 + 10 * settings.learning_rate)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=4 * allowed)
        for mean, name in ((first, "exp_avg"), (second, "exp_avg_sq")):
            wanted = np.abs(state[name].numpy())
            scale = np.maximum(wanted, np.abs(mean)) + np.abs(direction)
            scale = scale**2 + wanted if name == "exp_avg_sq" else scale
            sign = 1 if name == "exp_avg_sq" else -1
            assert np.all(np.abs(mean - sign * state[name].numpy()) <= 20 * eps * scale)


def literal(settings: Adam, start: float, course: list[float]) -> tuple[float, float, float]:
    """Kingma and Ba (2015), Algorithm 1, one entry, gradients negated; m, v raw without their
    correction where that is left out.
    """
    theta, m, v = start, 0.0, 0.0
    for t, d in enumerate(course, 1):
        g = -d
        m = settings.beta1 * m + (1 - settings.beta1) * g
        v = settings.beta2 * v + (1 - settings.beta2) * g**2
        m_hat, v_hat = m, v
        if settings.bias_correction:
            m_hat, v_hat = m / (1 - settings.beta1**t), v / (1 - settings.beta2**t)
        theta -= settings.learning_rate * m_hat / (math.sqrt(v_hat) + settings.epsilon)
    return theta, -m, v


@pytest.mark.parametrize("settings", SETTINGS)
def test_against_the_printed_algorithm(settings: Adam, rng: np.random.Generator) -> None:
    course = directions(25, (6,), rng)
    start = rng.standard_normal(6)
    now = start, np.zeros(6), np.zeros(6)
    for steps, direction in enumerate(course):
        now = adam.step(settings, steps, now[0], direction, *now[1:])
    for i in range(6):
        wanted = literal(settings, float(start[i]), course[:, i].tolist())
        for got, number in zip(now, wanted, strict=True):
            assert got[i] == pytest.approx(number, rel=1e-12, abs=1e-300)


def test_the_reference_preset_is_that_of_the_public_code() -> None:
    """beta1 0.9, beta2 0.99, epsilon 1e-8, no correction (derivation.md, reference settings)."""
    assert Adam(1e-4, 0.9, 0.99, 1e-8, bias_correction=False) == REFERENCE
    moved, _, _ = adam.step(REFERENCE, 0, *(np.array([x]) for x in (0.0, 2.0, 0.0, 0.0)))
    assert moved[0] == pytest.approx(1e-4 * 0.1 / math.sqrt(0.01), rel=1e-7)


def test_uncorrected_steps_grow_to_twice_the_learning_rate() -> None:
    """Of public code, while a direction stays the same: (1 - b1^t) / (1 - b2^t)^1/2 times it."""
    settings = replace(REFERENCE, learning_rate=1.0)
    now, first, second = (np.zeros(1) for _ in range(3))
    lengths = []
    for steps in range(400):
        before = now
        now, first, second = adam.step(settings, steps, before, np.ones(1), first, second)
        lengths.append(float((now - before)[0]))
    t = np.arange(1, 401)
    np.testing.assert_allclose(lengths, (1 - 0.9**t) / np.sqrt(1 - 0.99**t), rtol=1e-6)
    assert lengths[0] == pytest.approx(1, rel=1e-6)
    assert 2.1 < max(lengths) < 2.2


def test_the_first_corrected_step_has_the_length_of_the_learning_rate() -> None:
    """Whatever the size of the direction, unless it is as small as epsilon."""
    direction = np.array([1e-3, -50.0, 1e4, 0.0])
    moved, _, _ = adam.step(Adam(), 0, *(np.zeros(4), direction, np.zeros(4), np.zeros(4)))
    np.testing.assert_allclose(moved, 1e-4 * np.array([1, -1, 1, 0]), rtol=2e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_library_takes_the_same_step(
    dtype: str, backend: Backend, rng: np.random.Generator
) -> None:
    arrays = [a.astype(dtype) for a in (*directions(3, (3, 4), rng), rng.random((3, 4)))]
    for settings in SETTINGS:
        got = adam.step(settings, 7, *map(backend.asarray, arrays))
        wanted = adam.step(settings, 7, *arrays)
        for one, other in zip(got, wanted, strict=True):
            assert isinstance(one, backend.array_type)
            np.testing.assert_allclose(np.asarray(one), other, rtol=20 * np.finfo(dtype).eps)


def test_blocks_are_not_to_be_seen(rng: np.random.Generator) -> None:
    """A long array as its parts; arrays in either order of memory; nothing given is changed."""
    arrays = [np.abs(rng.standard_normal((BLOCK // 3, 7))) for _ in range(4)]
    kept = [array.copy() for array in arrays]
    whole = adam.step(Adam(), 3, *arrays)
    parts = [adam.step(Adam(), 3, *(array[i] for array in arrays)) for i in (0, 5000, -1)]
    turned = adam.step(Adam(), 3, *map(np.asfortranarray, arrays))
    for k in range(3):
        for i, part in zip((0, 5000, -1), parts, strict=True):
            np.testing.assert_array_equal(whole[k][i], part[k])
        np.testing.assert_array_equal(whole[k], turned[k])
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    "bad",
    [
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"epsilon": 0.0},
        {"epsilon": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    (value,) = bad.values()
    with pytest.raises(CircuitError, match=f" {value:g} is "):
        Adam(**bad)

"""A model of one's own around the circuit: currents, equations, cells; against dense solves, SciPy
and steps written out."""

from __future__ import annotations

import gc
import logging
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError, NotFinite
from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.trial import Trial
from tests.circuit.brian.conftest import DEPRECATED

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    import brian2

    from circuit import brian

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")

EXTENDING = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
EPS = float(np.finfo(np.float64).eps)
TAU, STEP = 0.010, 0.005


def make_trial(
    rng: np.random.Generator,
    widths: tuple[int, ...],
    activation: str,
    pathway: str,
    gamma: float | tuple[float, ...] = 0.1,
    *,
    batch: int = 2,
    **options: Any,
) -> Trial:
    """Random biases, and targets near the outputs."""
    network = initialise(widths, rng, activation=activation)
    biases = tuple(0.3 * rng.standard_normal(width) for width in widths[1:])
    network = replace(network, biases=biases)
    inputs = rng.random((batch, widths[0]))
    outputs = forward(network, inputs).rates[-1]
    targets = 0.9 * outputs + 0.05 * rng.standard_normal(outputs.shape)
    circuit = build_circuit(network, pathway, gamma, time_constant=TAU, **options)
    return begin(circuit, inputs, targets)


def refused(**arguments: Any) -> str:
    """The one line with which `make_pieces` refuses."""
    trial = make_trial(np.random.default_rng(2), (4, 3, 3), "asinh", "gait")
    with pytest.raises(CircuitError) as caught:
        brian.make_pieces(trial, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def settled_rates(pieces: Any, extra: tuple[Any, ...] = (), *, nudged: bool) -> list[np.ndarray]:
    """Rates after two seconds from where they are."""
    brian.set_nudge(pieces, nudged)
    brian2.Network(*pieces.objects, *extra).run(2 * brian2.second, namespace={})
    return list(brian.read_rates(pieces))


# --- currents ---


def dense_equilibrium(
    trial: Trial, currents: list[np.ndarray], image: int, *, nudged: bool, known: bool = True
) -> np.ndarray:
    """Where a linear circuit of equal widths rests: 0 = -y_l + (1 - g_l) (W_l y_{l-1} + b_l + c_l)
    + g_l W_{l+1}^-1 (y_{l+1} - b_{l+1} - c_{l+1}), as one dense system. With `known` false the
    sender of a message does not know of its current.
    """
    network, depth, n = trial.network, trial.network.depth, trial.network.widths[0]
    gammas = [*trial.circuit.strengths[:-1], trial.circuit.strengths[-1] if nudged else 0.0]
    matrix, constant = np.eye(depth * n), np.zeros((depth, n))
    for layer in range(1, depth + 1):
        i, gamma = layer - 1, gammas[layer - 1]
        W, own = network.weights[i], slice(i * n, (i + 1) * n)
        drive = network.biases[i] + currents[i][image]
        constant[i] = (1 - gamma) * drive
        if layer == 1:
            constant[i] += (1 - gamma) * W @ trial.activity.rates[0][image]
        else:
            matrix[own, (i - 1) * n : i * n] -= (1 - gamma) * W
        if layer == depth:
            constant[i] += gamma * trial.target[image]
        else:
            inverse = np.linalg.inv(network.weights[i + 1])
            matrix[own, (i + 1) * n : (i + 2) * n] -= gamma * inverse
            above = network.biases[i + 1] + (currents[i + 1][image] if known else 0)
            constant[i] -= gamma * inverse @ above
    return np.linalg.solve(matrix, constant.ravel()).reshape(depth, n)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("nudged", [False, True])
def test_current_moves_the_equilibrium_as_the_dense_solve_says(
    pathway: str, nudged: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent by a population of one's own through synapses of one's own into every layer, other
    values in every image. (In a linear circuit the two pathways have one equilibrium.)

    Nothing is compiled for it, as it is in the test of what arrives in the same step.
    """
    monkeypatch.setitem(brian2.prefs, "codegen.target", "numpy")
    trial = make_trial(rng, (5, 5, 5, 5), "linear", pathway, (0.1, 0.2, 0.3))
    pieces = brian.make_pieces(trial, step=STEP)
    sent = [rng.standard_normal((2, 4)) for _ in range(3)]
    through = [rng.standard_normal((5, 4)) for _ in range(3)]
    mine: list[Any] = []
    for layer in (1, 2, 3):
        group = brian2.NeuronGroup(8, "r : 1", clock=pieces.clock, name=f"mine_{layer}")
        group.r = sent[layer - 1].ravel()
        text = "w : 1\ncurrent_post = w*r_pre : 1 (summed)"
        synapses = brian2.Synapses(
            group, pieces.layers[layer], text, clock=pieces.clock, name=f"send_{layer}"
        )
        image, post, pre = np.indices((2, 5, 4)).reshape(3, -1)
        synapses.connect(i=4 * image + pre, j=5 * image + post)
        synapses.w = through[layer - 1][post, pre]
        mine += [group, synapses]
    currents = [values @ W.T for values, W in zip(sent, through, strict=True)]
    found = settled_rates(pieces, tuple(mine), nudged=nudged)
    for image in range(2):
        expected = dense_equilibrium(trial, currents, image, nudged=nudged)
        unaware = dense_equilibrium(trial, currents, image, nudged=nudged, known=False)
        for layer in range(3):
            size = np.abs(expected).max()
            np.testing.assert_allclose(found[layer][image], expected[layer], atol=200 * EPS * size)
        assert np.abs(unaware[0] - expected[0]).max() > 1e-2  # the control: a current taken amiss


@pytest.mark.parametrize(
    ("pathway", "options"),
    [("itp", {}), ("gait", {}), ("grait", {}), ("gait", {"feedback": "pseudo-inverse"})],
)
def test_current_is_a_bias(pathway: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    """Curved units, layers that narrow: free rates and shifts are those of the network whose
    biases are so much larger."""
    trial = make_trial(rng, (7, 6, 5), "asinh", pathway, batch=1, **options)
    currents = [0.5 * rng.standard_normal(rates.shape[1]) for rates in trial.activity.rates[1:]]
    biases = tuple(b + c for b, c in zip(trial.network.biases, currents, strict=True))
    network = replace(trial.network, biases=biases)
    circuit = build_circuit(network, pathway, 0.1, time_constant=TAU, **options)
    biased = begin(circuit, trial.activity.rates[0], trial.target)
    built = brian.build(trial, step=min(STEP, brian.longest_step(trial.circuit)), record=0)
    for layer, current in enumerate(currents, 1):
        built.pieces.layers[layer].current = current
    found = brian.run_phases(built)
    shifts = settle(biased, tolerance=1e-13, must_converge=False).shifts
    for layer in (1, 2):
        rates = biased.activity.rates[layer]
        np.testing.assert_allclose(found.free_rates[layer - 1], rates, atol=100 * EPS)
        assert np.abs(rates - trial.activity.rates[layer]).max() > 0.05
        expected = shifts.absolute(layer)
        np.testing.assert_allclose(found.shifts[layer - 1], expected, rtol=1e-6, atol=300 * EPS)


def test_what_is_sent_arrives_in_the_same_step(rng: np.random.Generator) -> None:
    """Two Euler steps written out, of a population that decays while it drives layer 1 and y_0."""
    trial = make_trial(rng, (3, 3), "linear", "itp", batch=1)
    pieces = brian.make_pieces(trial, step=STEP)
    mine = brian2.NeuronGroup(3, "dr/dt = -r/(20*ms) : 1", method="euler", clock=pieces.clock)
    mine.r = start = rng.standard_normal(3)
    sends = []
    for layer, name in ((0, "y"), (1, "current")):
        text = f"{name}_post = 0.5*r_pre : 1 (summed)"
        sends += [brian2.Synapses(mine, pieces.layers[layer], text, clock=pieces.clock)]
        sends[-1].connect(j="i")
    network = brian2.Network(*pieces.objects, mine, *sends)
    W, b, y, r = trial.network.weights[0], trial.network.biases[0], np.zeros(3), start
    for _ in range(2):
        network.run(STEP * brian2.second, namespace={})
        y, r = y + STEP / TAU * (W @ (0.5 * r) + b + 0.5 * r - y), r - STEP / 0.020 * r
        np.testing.assert_allclose(brian.read_rates(pieces)[0][0], y, atol=20 * EPS)


# --- equations ---

TIRING = """
current = -strength*fatigue : 1 (constant over dt)
dfatigue/dt = (y - fatigue)/slow : 1
strength : 1 (constant, shared)
slow : second (constant, shared)
"""


def adapting_field(
    trial: Trial, strength: float, slow: float, *, image: int = 0, nudged: bool = True
) -> Any:
    """d/dt of (y_1, y_2, a_1, a_2) of an asinh GAIT circuit with adaptation, written out."""
    (W1, W2), (b1, b2) = trial.network.weights, trial.network.biases
    x, target = trial.activity.rates[0][image], trial.target[image]
    gamma = (trial.circuit.strengths[0], nudged * trial.circuit.strengths[1])

    def field(_: float, state: np.ndarray) -> np.ndarray:
        y1, y2, a1, a2 = np.split(state, 4)
        u1 = np.arcsinh(W1 @ x + b1 - strength * a1)
        h2 = W2 @ y1 + b2 - strength * a2
        u2, slope = np.arcsinh(h2), 1 / np.sqrt(1 + h2**2)
        sent = u2 + slope**2 * (y2 - u2)
        down = np.linalg.solve(W2, np.sinh(sent) - b2 + strength * a2)
        dy1 = -y1 + (1 - gamma[0]) * u1 + gamma[0] * down
        dy2 = -y2 + (1 - gamma[1]) * u2 + gamma[1] * target
        return np.concatenate([dy1 / TAU, dy2 / TAU, (y1 - a1) / slow, (y2 - a2) / slow])

    return field


def test_adaptation_is_the_ode_written_out(rng: np.random.Generator) -> None:
    """By SciPy; Euler's error halves with the step. Without adaptation rates are elsewhere."""
    strength, slow, time = 0.7, 0.050, 0.080
    trial = make_trial(rng, (4, 4, 4), "asinh", "gait", (0.2, 0.3), batch=1)
    field = adapting_field(trial, strength, slow)
    options = {"rtol": 1e-11, "atol": 1e-13}
    exact = scipy.integrate.solve_ivp(field, (0, time), np.zeros(16), **options).y[:, -1]
    errors = []
    for step in (0.002, 0.001, 0.0005):
        built = brian.build(trial, step=step, record=0, extra=TIRING)
        for group in built.pieces.layers[1:]:
            group.strength, group.slow = strength, slow * brian2.second
        brian.set_nudge(built.pieces, True)
        brian.advance(built, round(time / step))
        rates = np.concatenate([rates[0] for rates in brian.read_rates(built.pieces)])
        tired = np.concatenate([group.fatigue[:] for group in built.pieces.layers[1:]])
        errors.append(np.abs(np.concatenate([rates, tired]) - exact).max())
    assert errors[0] < 0.05 * np.abs(exact).max()
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, atol=0.15)
    plain = scipy.integrate.solve_ivp(adapting_field(trial, 0, slow), (0, time), np.zeros(16)).y
    assert np.abs(plain[:8, -1] - exact[:8]).max() > 20 * errors[-1]


def test_tiring_units_of_the_page_rest_where_scipy_finds_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script of docs/extending.md: the shifts that it compares, as roots of the equations
    written out, from which its four printed numbers follow; and the page has these."""
    section = EXTENDING.partition("### tiring.py")[2]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/extending.md", "exec"), names)
    printed, trial = capsys.readouterr().out, names["trial"]
    shifts = {}
    for strength in (0.3, 0.0):
        ends = []
        for nudged in (False, True):
            fields = [
                adapting_field(trial, strength, 0.050, image=image, nudged=nudged)
                for image in range(4)
            ]
            roots = [
                scipy.optimize.root(lambda s, f=f: TAU * f(0, s), np.zeros(24), tol=1e-13).x
                for f in fields
            ]
            ends.append(np.array(roots))
        shifts[strength] = np.split(ends[1] - ends[0], 4, axis=1)
    words = []
    for layer in (1, 2):
        one, other = shifts[0.3][layer - 1].ravel(), shifts[0.0][layer - 1].ravel()
        sizes = np.linalg.norm(one), np.linalg.norm(other)
        words.append(
            f"layer {layer}: cosine {one @ other / sizes[0] / sizes[1]:.4f} with the shift of "
            f"fresh units, {sizes[0] / sizes[1]:.4f} of its size\n"
        )
    assert printed == "".join(words)
    assert f"```\n{printed}```" in section


def test_extra_of_one_layer_leaves_the_others(rng: np.random.Generator) -> None:
    circuit = make_trial(rng, (4, 3, 3), "asinh", "gait").circuit
    extra = {2: TIRING}
    assert brian.equations(circuit, 1, extra=extra) == brian.equations(circuit, 1)
    lines = brian.equations(circuit, 2, extra=extra).splitlines()
    assert "current : 1" not in lines
    assert set(TIRING.strip().splitlines()) < set(lines)
    before = brian.equations(circuit, 2).splitlines()
    assert [line for line in lines if line in before] == [
        line for line in before if line != "current : 1"
    ]


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("weighted : 1", "changes weighted"),
        ("gamma = 0.1 : 1", "changes gamma"),
        ("feedback = y : 1", "changes feedback"),
        ("target : 1", "changes target"),
        ("tau = 5*ms : second", "changes tau"),
        ("current = loud*y : 1", "speaks of loud"),
        ("current = ramp(t) : 1", "speaks of ramp"),
        ("current = 1*mV : 1", "current"),
        ("da/dt = y - a : 1", "unit"),
        ("y : 1", "no dy/dt"),
        ("y = drive : 1", "no dy/dt"),
        ("message : 1", "leaves message without"),
        ("drive = weighted*volt : volt", "makes drive a V"),
        ("response = drive > 0 : boolean", "makes response a boolean"),
        ("response = drive : 1 (shared)", "not possible|cannot be"),
        ("words", "cannot be"),
        ("x_pre : 1", "x_pre"),
        ("current = y : 1 (summed)", "summed"),
        (3, "extra = 3"),
        ({3: "a : 1"}, "layer 3; give layers from 1 to 2"),
        ({"x": "a : 1"}, "layer 'x'"),
        ({1: 2}, "extra of layer 1 = 2"),
    ],
)
def test_what_cannot_be_added_is_refused(extra: Any, named: str) -> None:
    assert re.search(named, refused(extra=extra))


def test_names_of_the_namespace_serve_extra_alone() -> None:
    assert "give extra" in refused(namespace={"loud": 2.0})


def test_a_stimulus_in_time_arrives(rng: np.random.Generator) -> None:
    """A `TimedArray` by way of the namespace, against Euler's steps written out."""
    trial = make_trial(rng, (3, 3), "linear", "itp", batch=1)
    values = rng.standard_normal((4, 3))
    stimulus = brian2.TimedArray(values, dt=STEP * brian2.second)
    text = "current = stimulus(t, i) : 1 (constant over dt)"
    built = brian.build(trial, step=STEP, record=0, extra=text, namespace={"stimulus": stimulus})
    W, b, x, y = trial.network.weights[0], trial.network.biases[0], trial.activity.rates[0][0], 0
    brian.advance(built, 4)
    for current in values:
        y = y + STEP / TAU * (W @ x + b + current - y)
    np.testing.assert_allclose(brian.read_rates(built.pieces)[0][0], y, atol=20 * EPS)


# --- words ---


def test_unused_pieces_go_without_a_word(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither do those of an `extra` that is refused half-way; Brian2's own groups do say it."""
    said: list[str] = []
    monkeypatch.setattr(brian2.core.base.logger, "warn", lambda words, **_: said.append(words))
    trial = make_trial(rng, (4, 3, 3), "asinh", "gait")
    pieces = brian.make_pieces(trial)
    del pieces
    with pytest.raises(CircuitError):
        brian.make_pieces(trial, extra={2: "current = loud : 1"})
    gc.collect()
    assert said == []
    mine = brian2.NeuronGroup(1, "x : 1")
    del mine
    gc.collect()
    assert len(said) == 1


def test_rates_that_are_lost_are_told_of_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the exception; Brian2 would warn of every layer beside."""
    said: list[str] = []
    trial = make_trial(rng, (4, 4, 4), "tanh", "itp")
    built = brian.build(trial, record=0)
    brian.set_rates(built.pieces, [2 * np.ones((2, 4))] * 2)
    logger = logging.getLogger("brian2")
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.getMessage()))
    logger.addHandler(handler)
    try:
        with pytest.raises(NotFinite, match="layer 1"):
            brian.advance(built, 3)
    finally:
        logger.removeHandler(handler)
    assert said == []

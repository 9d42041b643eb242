"""Lateral inhibition inside the plastic circuit: sleep after every image, against the equations
written out in loops, the fixed points by SciPy, and the plasticity in steps of
`circuit.lateral_inhibition.teaching` in the limit of slow plasticity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import xarray as xr

from circuit.errors import CircuitError, ShapeMismatch
from circuit.lateral_inhibition import teaching
from circuit.plastic.circuit import Plastic, Timing
from circuit.plastic.sleep import Sleep, require_patterns, spontaneous_patterns
from tests.studies.test_learning_in_circuit import (
    CASES,
    DEPRECATED,
    EPS,
    TAU,
    advance_plastic,
    brian2,
    layer_equations,
    make,
    make_plastic_pieces,
    run_plastic,
    stream,
    synapse_equations,
    written_out,
)

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")


def sleep_of(count: int = 1, **fields: Any) -> Sleep:
    """Two patterns of seven steps, in the last three of which synapses learn."""
    given: dict[str, Any] = {
        "patterns": 2,
        "period": 7,
        "wait": 4,
        "lateral_rates": np.full(count, 5.0),
        "strengths": np.full(count, 1.0),
        "inverse_rates": np.zeros(count),
    }
    return Sleep(**(given | fields))


def asleep(plastic: Plastic, images: int, seed: int = 3) -> tuple[np.ndarray, ...]:
    """What `run_plastic` draws from a generator of this seed."""
    assert plastic.sleep is not None
    generator = np.random.default_rng(seed)
    return spontaneous_patterns(plastic.sleep, plastic.network.widths, images, generator)


# --- the equations ---

CANNOT_SLEEP = {"delays", "layer_plasticity"}
AWAKE = {name: case for name, case in CASES.items() if not CANNOT_SLEEP & case.keys()} | {
    "deep, captured": {
        "widths": (5, 4, 4, 3),
        "readout": "shift",
        "storage": "captured",
        "decay": 0.3,
    }
}


@pytest.mark.parametrize("case", AWAKE)
def test_brian_sleeps_as_the_equations_are_printed(case: str, rng: np.random.Generator) -> None:
    """Two circuits side by side, with M that is not symmetric at first; to rounding."""
    fields = {"rates": np.array([2.0, 8.0]), **AWAKE[case]}
    widths = fields.pop("widths", (4, 3, 2))
    constants = {
        what: tuple(rng.uniform(0.5, 2, (2, n)) * TAU for n in widths[1:])
        for what in ("time_constants", "own_time_constants")
    }
    sleep = sleep_of(
        2,
        strengths=np.array([0.5, 2.0]),
        lateral_rates=np.array([6.0, 3.0]),
        inverse_rates=np.array([0.0, 4.0]),
        lateral=tuple(0.2 * rng.standard_normal((2, n, n)) for n in widths[1:]),
    )
    plastic = make(rng, widths, count=2, sleep=sleep, **(constants | fields))
    inputs, targets = stream(rng, plastic, 3)
    record = run_plastic(plastic, inputs, targets, snapshots=3, generator=np.random.default_rng(3))
    assert record.steps == 3 * (plastic.timing.steps + 14)
    patterns = asleep(plastic, 3)
    for one in range(2):
        for at in (1, 3):  # a snapshot and the end
            exact = written_out(plastic, inputs[:at], targets[:at], one, patterns)
            for found, key in (
                (record.weights[at], "W"),
                (record.biases[at], "b"),
                (record.feedback[at], "B"),
                (record.lateral[at], "M"),
            ):
                for a, b in zip(found, exact[key], strict=True):
                    tolerance = 1e4 * EPS * (1 + abs(b).max())
                    np.testing.assert_allclose(a[one], b, rtol=0, atol=tolerance)
        for a, b in zip(record.rates, exact["y"], strict=True):
            np.testing.assert_allclose(a[one], b, rtol=0, atol=1e4 * EPS)
        assert sleep.lateral
        for after, before in zip(record.lateral[-1], sleep.lateral, strict=True):
            assert np.abs(after - before)[one].max() > 1e-2


@pytest.mark.parametrize("protocol", ["phases", "always"])
def test_sleep_that_teaches_nothing_leaves_no_trace(
    protocol: str, rng: np.random.Generator
) -> None:
    """With lambda 0 weights, biases and rates are those of the circuit that never sleeps, bit for
    bit; with another they are not, though the images are the same."""
    phases = protocol == "phases"
    fields: dict[str, Any] = {
        "readout": "shift" if phases else "mismatch",
        "storage": "captured" if phases else "direct",
        "timing": Timing(TAU / 4, 6 if phases else 0, 7, 0 if phases else 2),
        "decay": 0.1,
        "rate": 3.0,
    }
    restless = make(rng, **fields)
    inputs, targets = stream(rng, restless, 4)
    plain = run_plastic(restless, inputs, targets)
    for strength in (0.0, 1.0):
        sleep = sleep_of(strengths=np.array([strength]))
        record = run_plastic(
            replace(restless, sleep=sleep), inputs, targets, generator=np.random.default_rng(1)
        )
        assert np.abs(record.lateral[-1][0]).max() > 0.1
        pairs = [
            (one, other)
            for name in ("weights", "biases", "feedback")
            for one, other in zip(getattr(plain, name)[-1], getattr(record, name)[-1], strict=True)
        ]
        pairs += list(zip(plain.rates, record.rates, strict=True))
        assert all(np.array_equal(one, other) for one, other in pairs) == (strength == 0)


def test_without_sleep_nothing_of_it_is_in_the_equations(rng: np.random.Generator) -> None:
    """Nor are there lateral synapses; a circuit that sleeps has them, one set a layer."""
    plastic = make(rng, (4, 3, 3, 2))
    inputs, targets = stream(rng, plastic, 1)
    texts = {}
    for sleep in (None, sleep_of()):
        one = replace(plastic, sleep=sleep)
        patterns = () if sleep is None else asleep(one, 1)
        pieces = make_plastic_pieces(one, inputs, targets, patterns=patterns)
        assert len(pieces.lateral) == (0 if sleep is None else 3)
        lines = [layer_equations(one, layer) for layer in (1, 2, 3)]
        lines += [synapse_equations(one, way) for way in ("feedforward", "feedback")]
        texts[sleep is None] = "\n".join(lines)
    for word in ("awake", "practising", "spark", "pulled", "inverting", "inhibition"):
        assert word not in texts[True]
        assert word in texts[False]


# --- what it comes to ---


def practised(
    rng: np.random.Generator,
    weights: tuple[np.ndarray, ...],
    shown: int,
    step: float = TAU,
    **fields: Any,
) -> tuple[Plastic, np.ndarray, np.ndarray]:
    """Circuits of these weights, whose task teaches nothing, and a stream with so many patterns.

    Steps as long as tau, of which six let r = u / (1 + M) come to rest to (1/2)^6 for 1 + M of 0.5
    to 1.5.
    """
    widths = (weights[0].shape[1], *(W.shape[0] for W in weights))
    count = len(fields["strengths"])
    settings = {"patterns": 20, "period": 8, "wait": 6, "inverse_rates": np.zeros(count)} | fields
    stacked = tuple(np.tile(W, (count, 1, 1)) for W in weights)
    plastic = make(
        rng, widths, count=count, rate=0.0, timing=Timing(step, 0, 1, memory=TAU, capture=TAU)
    )
    network = replace(plastic.network, weights=stacked)
    plastic = replace(plastic, network=network, sleep=Sleep(**settings))
    return plastic, *stream(rng, plastic, shown // settings["patterns"])


TAUGHT = 2 * TAU  # seconds in which one of their patterns teaches


def two_layers(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Four units that read five, and three that read these; singular values 0.7 to 1.5."""
    found = []
    for rows, columns in ((4, 5), (3, 4)):
        left, _ = np.linalg.qr(rng.standard_normal((rows, rows)))
        right, _ = np.linalg.qr(rng.standard_normal((columns, columns)))
        found.append(left @ np.diag(np.linspace(0.7, 1.5, rows)) @ right[:rows])
    return tuple(found)


def test_in_sleep_m_comes_to_the_square_root_and_w_to_the_nearest_orthogonal_matrix(
    rng: np.random.Generator,
) -> None:
    """Three circuits side by side, against SciPy. The first has W that stands still: M moves by eta
    a pattern, so that it varies about its rest with variance eta |r|^2 / 2 in an entry, |r|^2 being
    the number of units, and is averaged over half of the run. In the second W moves, too. In the
    third inhibition is held at 0: it takes nothing but what is left of u - r before r rests."""
    weights, eta = two_layers(rng), 0.04
    rates, pulls = np.array([1, 1, 0]) * eta / TAUGHT, np.array([0, 1, 1]) * eta / TAUGHT / 60
    given = practised(rng, weights, 800, lateral_rates=rates, strengths=pulls)
    record = run_plastic(*given, snapshots=40, generator=np.random.default_rng(5))
    for at, W in enumerate(weights):
        still, moving, held = record.weights[-1][at]
        found = np.mean([M[at][0] for M in record.lateral[20:]], axis=0)
        expected = scipy.linalg.sqrtm(W @ W.T) - np.eye(len(W))
        noise = np.sqrt(eta * len(W) / 2)
        assert np.abs(found - expected).max() < noise < np.abs(expected).max()
        np.testing.assert_array_equal(still, W)
        nearest, _ = scipy.linalg.polar(W)
        before = np.linalg.norm(W - nearest)
        assert np.linalg.norm(moving - nearest) < 0.35 * before
        assert np.linalg.norm(held - nearest) > 0.9 * before


def test_images_in_place_of_independent_signs_do_not_orthogonalise(
    rng: np.random.Generator,
) -> None:
    """Units that fire together: W is pulled to where W S W^T is 1, and not W W^T."""
    (weights, _), distances = two_layers(rng), {}
    pull = {"lateral_rates": np.array([0.04 / TAUGHT]), "strengths": np.array([0.04 / TAUGHT / 60])}
    times = {"step": TAU / 2, "period": 16, "wait": 12}  # for a larger 1 + M
    plastic, inputs, targets = practised(rng, (weights,), 600, **times, **pull)
    (signs,) = asleep(plastic, len(inputs))
    together = rng.choice([-1.0, 1.0], (len(signs), 1))
    for what, shown in (
        ("signs", signs),
        ("images", np.where(rng.random(signs.shape) < 0.7, together, signs)),
    ):
        pieces = make_plastic_pieces(plastic, inputs, targets, patterns=(shown,))
        advance_plastic(brian2.Network(*pieces.objects), pieces, len(inputs))
        singular = np.linalg.svd(pieces.feedforward[0].weight_[:].reshape(weights.shape))[1]
        distances[what] = np.sqrt(np.mean((singular - 1) ** 2))
    before = np.sqrt(np.mean((np.linalg.svd(weights)[1] - 1) ** 2))
    assert distances["signs"] < 0.35 * before
    assert distances["images"] > 0.8 * before


def test_in_sleep_feedback_comes_to_the_inverse(rng: np.random.Generator) -> None:
    """W stands still: B = W^T (W W^T)^-1 is what makes the least of x - B W x; NumPy's pinv. There
    are no random errors in the rest itself: where x has more entries than u, x - B u is not 0, so
    that B varies about it, and is averaged."""
    weights, none = two_layers(rng), np.zeros(1)
    given = practised(
        rng, weights, 1000, lateral_rates=none, strengths=none, inverse_rates=np.array([2.0])
    )
    record = run_plastic(*given, snapshots=50, generator=np.random.default_rng(5))
    expected = np.linalg.pinv(weights[1])
    found = np.mean([B[0][0] for B in record.feedback[25:]], axis=0)
    before = np.linalg.norm(given[0].feedback[0][0] - expected)
    assert np.linalg.norm(found - expected) < 0.1 * before


def test_slow_sleep_is_the_rule_in_steps(rng: np.random.Generator) -> None:
    """Where r rests and plasticity is slow, a pattern is a step of
    `circuit.lateral_inhibition.teaching.teach` with one sample: half the rates for twice the
    patterns, half the distance. (In each of eight steps that learn r follows what the steps before
    have learnt, which is of the size of the rate.)
    """
    weights, taught = two_layers(rng), 8 * TAU
    etas, distances = [0.02, 0.01, 0.005], []
    for eta in etas:
        count, pull = round(0.1 / eta) * 8, eta / 80
        rates = {"lateral_rates": np.array([eta / taught]), "strengths": np.array([pull / taught])}
        times = {"patterns": 8, "period": 28, "wait": 20}
        plastic, inputs, targets = practised(rng, weights, count, **times, **rates)
        # second moments of exactly 1 over the patterns of an image, at every rate
        orders = scipy.linalg.hadamard(8).astype(float)
        signs = [np.tile(orders[:, 1 : 1 + n], (len(inputs), 1)) for n in (5, 4)]
        pieces = make_plastic_pieces(plastic, inputs, targets, patterns=signs)
        advance_plastic(brian2.Network(*pieces.objects), pieces, len(inputs))
        gaps = []
        for at, W in enumerate(weights):
            before, M = W, np.zeros((len(W), len(W)))
            for x in signs[at]:
                change, (M,) = teaching.teach("whitening", (M,), W, x[None], eta, pull)
                W = W + change
            for found, one, learnt in (
                (pieces.feedforward[at].weight_[:], W, W - before),
                (pieces.lateral[at].weight_[:], M, M),
            ):
                gaps.append(np.linalg.norm(found - one.ravel()) / np.linalg.norm(learnt))
        distances.append(gaps)
    orders = [np.polyfit(np.log(etas), np.log(one), 1)[0] for one in np.transpose(distances)]
    assert np.max(distances[-1]) < 0.05
    assert orders == pytest.approx([1] * 4, abs=0.15)


# --- what is handed out ---


def test_spontaneous_activity_comes_from_the_generator(rng: np.random.Generator) -> None:
    plastic = make(rng, sleep=sleep_of())
    inputs, targets = stream(rng, plastic, 2)

    def run(seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return run_plastic(plastic, inputs, targets, generator=generator).lateral[-1][0]

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-3
    with pytest.raises(CircuitError, match="sleep needs a generator"):
        run_plastic(plastic, inputs, targets)
    signs = asleep(plastic, 2000)[0]
    np.testing.assert_array_equal(signs**2, 1)
    # four standard deviations of a mean of 4000 signs
    assert np.abs(signs.T @ signs / len(signs) - np.eye(4)).max() < 4 / np.sqrt(4000)


def test_a_supervisor_sees_and_sets_weights_between_images(rng: np.random.Generator) -> None:
    """It sees what snapshots show, and what it leaves is what the next image begins with."""
    plastic = make(rng, rate=5.0)
    inputs, targets = stream(rng, plastic, 3)
    alone = run_plastic(plastic, inputs, targets, snapshots=3)
    seen: list[Any] = []

    def look(weights: Any, feedback: Any) -> Any:
        seen.append((*weights, *feedback))
        return weights, feedback

    record = run_plastic(plastic, inputs, targets, between=look)
    np.testing.assert_array_equal(record.weights[-1][0], alone.weights[-1][0])
    assert len(seen) == 2
    for at, arrays in enumerate(seen, 1):
        for one, other in zip(arrays, (*alone.weights[at], *alone.feedback[at]), strict=True):
            np.testing.assert_array_equal(one, other)

    def put(weights: Any, feedback: Any) -> Any:
        return plastic.network.weights, tuple(0 * B for B in feedback)

    still = replace(plastic, rates=np.zeros(1), feedback_plasticity=np.zeros(1))
    record = run_plastic(still, inputs, targets, between=put)
    np.testing.assert_array_equal(record.feedback[-1][0], 0)
    np.testing.assert_array_equal(record.weights[-1][0], plastic.network.weights[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"patterns": 0}, "patterns = 0"),
        ({"period": 2.5}, "period = 2.5"),
        ({"wait": 7}, "in at least one"),
        ({"wait": -1}, "wait = -1"),
        ({"strengths": np.array([-1.0])}, "strengths"),
        ({"lateral_rates": np.array([np.inf])}, "lateral_rates"),
        ({"inverse_rates": np.array([np.nan])}, "inverse_rates"),
    ],
)
def test_bad_sleeps_are_refused_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CircuitError, match=words) as caught:
        sleep_of(**fields)
    assert "\n" not in str(caught.value)


def test_sleeps_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    for fields, error, words in (
        ({"sleep": sleep_of(2)}, ShapeMismatch, "one for each circuit"),
        ({"sleep": sleep_of(lateral=(np.zeros((1, 3, 3)),))}, ShapeMismatch, "lateral weights"),
        (
            {"sleep": sleep_of(lateral=(np.full((1, 3, 3), np.nan), np.zeros((1, 2, 2))))},
            CircuitError,
            "not finite",
        ),
        ({"sleep": sleep_of(), "delays": np.array([1])}, CircuitError, "cannot sleep"),
        ({"delays": np.array([101])}, CircuitError, "a delay of 101 steps is more than"),
        ({"rates": np.ma.masked_array([1.0], [1])}, CircuitError, "is a masked array"),
        ({"sleep": sleep_of(), "noise": np.array([0.1])}, CircuitError, "cannot sleep"),
        ({"sleep": sleep_of(), "widths": (2, 3, 2)}, CircuitError, "layer 1 has 3 units"),
    ):
        given: dict[str, Any] = dict(fields)
        with pytest.raises(error, match=words) as caught:
            make(rng, given.pop("widths", (4, 3, 2)), **given)
        assert "\n" not in str(caught.value)
    plastic = make(rng, sleep=sleep_of())
    inputs, targets = stream(rng, plastic, 2)
    with pytest.raises(ShapeMismatch, match="spontaneous patterns"):
        make_plastic_pieces(plastic, inputs, targets)
    holed = (asleep(plastic, 2)[0] * np.nan, asleep(plastic, 2)[1])
    with pytest.raises(CircuitError, match="not finite"):
        require_patterns(sleep_of(), (4, 3, 2), 2, holed)


# --- the study ---


def test_a_probe_pulls_by_what_it_says_and_by_as_much() -> None:
    """One image, one network. lambda 0 is the same with either feedback but for B; of Eq. 23 the
    supervisor makes a step of lambda after the image but the last; NumPy's formula."""
    from studies.learning_in_circuit.setting import first_weights
    from studies.learning_in_circuit.sleeping import study as sleeping

    weights = [first_weights((6, 5, 4), 1, 0)]
    for name, probe in sleeping.PROBES.items():
        plastic = sleeping.sleeper("always", probe, weights)
        assert len(plastic.rates) == len(probe.values)
        learns = plastic.feedback_plasticity
        assert set(learns) == ({0.0} if "inverse" in name else {1.0})
        sleep = plastic.sleep
        if sleep is None:
            assert name == "Eq. 23, transpose"
            continue
        time = sleep.patterns * (sleep.period - sleep.wait) * plastic.timing.step
        pulls = np.zeros(len(learns)) if probe.pull == "Eq. 23" else probe.values
        np.testing.assert_allclose(sleep.strengths * time, pulls, rtol=1e-12)
        assert np.any(sleep.inverse_rates > 0) == probe.inverse
    step = sleeping.step_down_eq_23(sleeping.PROBES["Eq. 23, inverse"], 1)
    W = np.tile(weights[0][0][0], (3, 1, 1))
    (pulled,), same = step((W,), (W,))
    assert same[0] is W
    gram = W[0] @ W[0].T
    expected = -4 * (gram - np.diag(np.diag(gram))) @ W[0]
    for at, strength in enumerate(sleeping.STRENGTHS):
        np.testing.assert_allclose(pulled[at] - W[at], strength * expected, rtol=1e-9, atol=1e-15)


def test_a_sleeping_cell_says_what_it_promises() -> None:
    from studies.learning_in_circuit.sleeping import study as sleeping
    from studies.learning_in_circuit.study import measure, study

    cells = [cell for cell in study("smoke").cells if sleeping.is_asleep(str(cell["probe"]))]
    assert [cell["probe"] for cell in cells] == list(sleeping.SMOKE_PROBES)
    data = measure(**(cells[0] | {"images": 4}))
    assert data["accuracy"].shape == (4, 2)
    assert data["orthogonality"].shape == data["update_cosine"].shape == (4, 2, 3)
    assert data["shown"].values.tolist() == [0, 1, 2, 3, 4]
    assert str(data["status"].values) == "converged"
    np.testing.assert_array_equal(data["accuracy_then"][-1], data["accuracy"])
    assert np.all(np.abs(data["update_cosine"].sel(layer=3).values) > 0.9)  # needs no feedback
    signs = measure(**(cells[-1] | {"images": 4}))
    assert signs["update_cosine"].shape == (4, 2, 3)
    assert (int(signs["n_test"]), round(1 / float(signs["chance"]))) == (1000, 4)
    words = {"no hidden layer": 1, "frozen hidden layers": 3}  # layers
    for cell in study("smoke").cells:
        stream, _, control = str(cell["probe"]).partition(": ")
        if stream == "asleep on signs":
            beside = measure(**(cell | {"images": 12}))
            assert int(beside["n_test"]) == 1000
            assert np.isfinite(beside["alignment"].values).all() == (words.pop(control) > 1)
    assert not words


def test_errors_of_the_inverse_and_diverged_circuits() -> None:
    from studies.learning_in_circuit.sleeping.study import distances, inverse_errors

    W = np.array([np.diag([2.0, 1.0]), np.full((2, 2), np.nan)])
    B = np.array([np.diag([0.5, 2.0]), np.eye(2)])  # off by 1 in an inverse of size sqrt(1.25)
    np.testing.assert_allclose(inverse_errors((W, W), (B,)), [1 / np.sqrt(1.25), np.nan])
    np.testing.assert_allclose(distances((W,)), [[np.sqrt(0.5)], [np.nan]])


def made_up_sleepers() -> xr.Dataset:
    """Two probes of three lambdas, three networks; and a cell of something else."""
    accuracy = np.full((3, 4, 3), np.nan)
    accuracy[0, :2] = [[0.5, 0.5, 0.5], [0.6, 0.7, 0.8]]
    accuracy[1, 1] = [0.9, np.nan, 0.9]
    accuracy[2, 3] = 0.1
    measured = np.isfinite(accuracy).any(axis=-1).astype(float)
    layered = np.repeat(accuracy[..., None], 2, axis=-1)
    names = ["inhibition, inverse", "Eq. 23, inverse", "noise"]
    return xr.Dataset(
        {
            "accuracy": (("cell", "value", "network"), accuracy),
            "alignment": (("cell", "value", "network"), accuracy),
            "inverse_error": (("cell", "value", "network"), accuracy),
            "orthogonality": (
                ("cell", "value", "network", "layer"),
                np.where(np.arange(3)[:, None, None, None] < 2, layered * [1, 3], np.nan),
            ),
            "update_cosine": (("cell", "value", "network", "layer"), layered * [1, -1]),
            "measured": (("cell", "value"), measured),
            "chance": ("cell", [0.1] * 3),
            "status": ("cell", ["converged", "diverged: 1 of 3 networks", "converged"]),
        },
        coords={
            "protocol": ("cell", ["always"] * 3),
            "probe": ("cell", names),
            "networks": ("cell", [3, 3, 3]),
            "value": [0.0, 0.001, 0.002, 0.1],
            "layer": [1, 2],
            "network": [0, 1, 2],
        },
    )


def test_the_picture_says_what_accuracy_goes_from_and_to() -> None:
    """Of the first probe 50 % with no pull and 70 % with the strongest, means of three networks."""
    from studies.learning_in_circuit.sleeping.figures import sleep

    data = made_up_sleepers()
    for task, words in (("", "ten digits 50 to 70 %"), ("signs: ", "pairs of signs 50 to 70 %")):
        names = [f"{task}{name}" for name in data["probe"].values]
        figure = sleep(data.assign_coords(probe=("cell", names)))
        assert f"in sleep: {words}" in figure.texts[0].get_text()
    without = sleep(data.isel(cell=[1, 2]))
    assert "in sleep: not run" in without.texts[0].get_text()


def test_the_table_has_a_row_for_every_lambda_and_pairs_networks() -> None:
    """0.6, 0.7, 0.8 less 0.5: 0.2 +- 4.303 * 0.1 / sqrt(3); 0.9 less 0.5 in two networks,
    both told. The cosine is layer 1's, the distance a mean over layers.
    """
    from studies.learning_in_circuit.sleeping.findings import lines, probes

    data = made_up_sleepers()
    assert probes(data) == ["inhibition, inverse", "Eq. 23, inverse"]
    table = lines(data)[1].splitlines()
    assert len(table) == 4
    assert "0.700 +- 0.25" in table[2]
    assert "1.400 +- 0.5" in table[2]
    assert "-0.7" not in table[2]
    assert "+0.200 +- 0.25" in table[2]
    assert "+0.400, +0.400" in table[3]
    assert table[3].split()[-1] == "1"
    other = data.assign_coords(probe=("cell", [f"signs: {name}" for name in data["probe"].values]))
    assert "+0.200 +- 0.25" in lines(other)[1].splitlines()[2]
    assert lines(data.isel(cell=[2])) == []
    assert lines(data.drop_vars("update_cosine")) == []

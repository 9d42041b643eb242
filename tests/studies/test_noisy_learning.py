"""studies.noisy_learning: noise of a layer, what is predicted of learning with it, cells, tables.

Held against the fluctuations of a whole circuit (`studies.noise`, which Brian2 agrees with), closed
forms, quadrature, and updates drawn again and again and averaged in loops.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import xarray as xr

from analysis.sweep.kept import collect, storable, store
from analysis.sweep.study import Study
from circuit import CircuitError, begin, build_circuit, forward, initialise, settle
from circuit.learned_inverse.model import KEYS
from circuit.peers.signal import Signal
from circuit.rules import back_propagation
from studies.noise.fluctuations import averaged, readout_covariances, unit_slices
from studies.noisy_learning.figures import FIGURES
from studies.noisy_learning.findings import (
    chosen,
    controls,
    done,
    failures,
    findings,
    learns,
    predicted,
    threshold,
    tolerated,
)
from studies.noisy_learning.reading import NoisySettings, chain, signal
from studies.noisy_learning.study import SCALES, measure, study
from studies.noisy_learning.theory import (
    KEPT,
    averaged_noise,
    cosine,
    largest_noise,
    prospect,
    settling_time,
)

UNEQUAL = ((0.3, 0.3, 0.3), (0.4, 0.4, 0.05), (0.2, 0.5, 0.35))


def scene(seed: int = 1, images: int = 12) -> SimpleNamespace:
    """A network of unequal widths with two auxiliary outputs, images and targets."""
    rng = np.random.default_rng(seed)
    network = initialise([7, 6, 6, 6], rng, activation="asinh", n_outputs=4, whole_input=True)
    inputs, targets = rng.normal(size=(images, 7)), rng.normal(size=(images, 4))
    return SimpleNamespace(network=network, activity=forward(network, inputs), targets=targets)


def read(at: SimpleNamespace, settings: NoisySettings, step: int = 0) -> Signal:
    keys = {KEYS: (np.array(5),)}
    return signal(at.network, at.activity, at.targets, "quadratic", settings, keys, step)


# --- the noise of a layer ---


@pytest.mark.parametrize("strengths", UNEQUAL)
def test_a_layers_noise_and_signal_are_those_of_the_whole_circuit(
    strengths: tuple[float, ...],
) -> None:
    rng = np.random.default_rng(3)
    network = initialise([7, 7, 7, 7], rng, activation="linear")
    circuit = build_circuit(network, "gait", strengths, time_constant=0.01)
    trial = begin(circuit, rng.random((2, 7)), rng.random((2, 7)))
    record, long = settle(trial), 100.0
    covariances = readout_covariances(trial, record.shifts, 0, averaged([long]))
    error = np.linalg.norm(trial.error[0])
    for row, readout in enumerate(("shift", "mismatch")):
        found, wrong = chain(strengths, readout), chain((0.25, 0.25, 0.25), readout)
        traces = [np.trace(covariances[row, 0, at, at]) / 7 for at in unit_slices(network)]
        noise = np.sqrt(np.array(traces) / (2 * 0.01 / long))
        sizes = [np.linalg.norm(record.read_out(readout).absolute(at)[0]) for at in (1, 2, 3)]
        np.testing.assert_allclose(found.noise, noise, rtol=1e-3)
        np.testing.assert_allclose(np.abs(found.signal), np.array(sizes) / error, rtol=1e-6)
        assert np.abs(wrong.noise / noise - 1).max() > 0.03  # not whatever the strengths
        assert np.abs(wrong.signal / sizes * error - 1).max() > 0.1


def test_weak_feedback_has_the_noise_of_the_page_on_noise() -> None:
    layers = np.arange(1, 5)
    weak = (1e-7,) * 4
    np.testing.assert_allclose(chain(weak, "shift").noise, np.sqrt(2 * layers), rtol=1e-5)
    np.testing.assert_allclose(chain(weak, "mismatch").noise, np.ones(4), rtol=1e-5)
    np.testing.assert_allclose(chain(weak, "mismatch").rates, np.sqrt(layers), rtol=1e-5)
    for readout in ("shift", "mismatch"):
        np.testing.assert_allclose(chain(weak, readout).signal, 1e-7 ** (5.0 - layers), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.05, 0.3])
def test_modes_of_the_chain_are_those_of_a_tridiagonal_toeplitz_matrix(gamma: float) -> None:
    modes = np.sort(np.linalg.eigvals(chain((gamma,) * 5, "shift").drift).real)
    angles = np.pi * np.arange(1, 6) / 6
    exact = np.sort(-1 + 2 * math.sqrt(gamma * (1 - gamma)) * np.cos(angles))
    np.testing.assert_allclose(modes, exact, atol=1e-10)


@pytest.mark.parametrize(("way", "readout"), [("gait", "shift"), ("bp", None)])
def test_what_a_synapse_reads_has_that_noise_and_no_other(way: str, readout: str | None) -> None:
    at = scene(images=4000)
    settings = NoisySettings(way, None if way == "bp" else 0.3, None, readout, noise=0.2)
    quiet, noisy = read(at, replace(settings, noise=0.0)), read(at, settings)
    factors = chain((0.3,) * 3 if way == "gait" else (1e-9,) * 3, readout or "mismatch")
    for layer, units in ((1, 6), (2, 6), (3, 4)):
        off = noisy.shifts.absolute(layer) - quiet.shifts.absolute(layer)
        below = noisy.presynaptic[layer] - at.activity.rates[layer]
        for found, size in ((off, factors.noise), (below, factors.rates)):
            assert found[:, :units].std() == pytest.approx(0.2 * size[layer - 1], rel=0.02)
            assert not found[:, units:].any()  # of auxiliary units
            assert abs(found[:, :units].mean()) < 5 * 0.2 * size[layer - 1] / math.sqrt(4000 * 4)
    np.testing.assert_array_equal(noisy.presynaptic[0], at.activity.rates[0])  # clamped
    assert (read(at, settings).shifts.values[0] == noisy.shifts.values[0]).all()
    assert (read(at, settings, 1).shifts.values[0] != noisy.shifts.values[0]).all()


# --- the rule ---


@pytest.mark.parametrize("readout", ["shift", "mismatch"])
@pytest.mark.parametrize("way", ["gait", "grait"])
def test_without_noise_it_is_the_circuit_through_the_exact_inverse(way: str, readout: str) -> None:
    at = scene()
    found = read(at, NoisySettings(way, 0.05, 0.3, readout))
    circuit = build_circuit(at.network, way, (0.3, 0.3, 0.05))
    exact = settle(begin(circuit, at.activity.rates[0], at.targets), "newton").read_out(readout)
    uniform = settle(
        begin(build_circuit(at.network, way, 0.3), at.activity.rates[0], at.targets), "newton"
    )
    for layer, units in ((1, 6), (2, 6), (3, 4)):
        one, other = found.shifts.per_gain(layer)[:, :units], exact.per_gain(layer)[:, :units]
        assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)
        wrong = uniform.read_out(readout).absolute(layer)[:, :units]
        here = found.shifts.absolute(layer)[:, :units]
        assert np.linalg.norm(here - wrong) > 0.1 * np.linalg.norm(wrong)
        assert not found.shifts.values[layer - 1][:, units:].any()


def test_through_the_transpose_mismatches_are_back_propagation_for_any_weights() -> None:
    at = scene()
    rng = np.random.default_rng(8)
    skewed = tuple(W + 0.3 * rng.normal(size=W.shape) for W in at.network.weights)
    network = replace(at.network, weights=skewed)
    at = SimpleNamespace(
        network=network, activity=forward(network, at.activity.rates[0]), targets=at.targets
    )
    error = at.targets - at.activity.rates[-1][:, :4]
    exact = back_propagation(network, at.activity, error)
    for way, same in (("transposed", True), ("gait", False)):
        found = read(at, NoisySettings(way, 1e-3, None, "mismatch"))
        for layer in (1, 2):
            one, other = found.shifts.per_gain(layer), exact.per_gain(layer)
            cosines = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
            assert (cosines > 0.999) == same


# --- the prediction ---


def test_averaged_noise_against_quadrature() -> None:
    for duration in (0.3, 2.0, 50.0):
        inside = scipy.integrate.quad(
            lambda t, T: (1 - t / T) * math.exp(-t), 0, duration, args=(duration,)
        )[0]
        expected = 0.7 * math.sqrt(2 * inside / duration)
        assert averaged_noise(0.7, duration) == pytest.approx(expected, rel=1e-9)
    assert averaged_noise(0.7, 1e5) == pytest.approx(0.7 * math.sqrt(2 / 1e5), rel=1e-4)


@pytest.mark.parametrize(("way", "gamma"), [("gait", 0.4), ("bp", None)])
def test_predicted_cosine_against_updates_that_are_drawn_and_averaged(
    way: str, gamma: float | None
) -> None:
    """Eq. 1: 30 averages over 40 showings of 12 images, synapse by synapse, without the package's
    plasticity.
    """
    at, noise, shown = scene(), 0.3, 40
    settings = NoisySettings(way, gamma, None, None if way == "bp" else "mismatch")
    found = prospect(at.network, at.activity, at.targets, settings, np.array(5))
    error = at.targets - at.activity.rates[-1][:, :4]
    shifts = back_propagation(at.network, at.activity, error)
    best = [_loops(at, shifts.per_gain(layer), layer) for layer in (1, 2, 3)]
    again = SimpleNamespace(
        network=at.network,
        activity=forward(at.network, np.tile(at.activity.rates[0], (shown, 1))),
        targets=np.tile(at.targets, (shown, 1)),
    )
    measured = np.zeros((30, 3))
    for trial in range(30):
        shifts = read(again, replace(settings, noise=noise), trial).shifts
        for layer, exact in enumerate(best, 1):
            mean = _loops(again, shifts.per_gain(layer), layer)
            along = (mean * exact).sum() / np.linalg.norm(exact)
            measured[trial, layer - 1] = along / np.linalg.norm(mean)
    theory = cosine(found.along, found.size, noise * found.noise, 12 * shown)
    error_of_mean = measured.std(axis=0) / math.sqrt(30)
    np.testing.assert_allclose(measured.mean(axis=0), theory, atol=(4 * error_of_mean + 0.02).max())
    if way == "gait":  # one image is not enough, and it is not the noise of another layer
        assert cosine(found.along, found.size, noise * found.noise, 1)[0] < 0.3 * theory[0]
        assert theory[0] < 0.95 * theory[2]


def _loops(at: SimpleNamespace, shift: np.ndarray, layer: int) -> np.ndarray:
    """Eq. 3 synapse by synapse, of the units that project, averaged over images."""
    units = (6, 6, 4)[layer - 1]
    rates, slopes = at.activity.rates[layer - 1], at.activity.slope(layer)
    change = np.zeros((units, rates.shape[1]))
    for post in range(units):
        for pre in range(rates.shape[1]):
            change[post, pre] = np.mean(slopes[:, post] * shift[:, post] * rates[:, pre])
    return change


def test_largest_noise_is_where_the_cosine_of_the_worst_layer_is_that() -> None:
    along, size = np.array([[3.0, 2.0, np.nan]]), np.array([[3.2, 2.1, np.nan]])
    noise = np.array([[50.0, 10.0, np.nan]])
    most = largest_noise(along, size, noise, 400.0, 0.6)
    cosines = cosine(along, size, most[:, None] * noise, 400.0)
    assert np.nanmin(cosines) == pytest.approx(0.6)
    assert largest_noise(along, size, noise, 1600.0, 0.6) == pytest.approx(2 * most)
    assert largest_noise(along, size, noise, 400.0, 0.94) == 0  # bias alone is more


@pytest.mark.parametrize("strengths", [(0.03,) * 4, (0.5, 0.5, 0.2)])
def test_settling_time_against_the_equations_in_time(strengths: tuple[float, ...]) -> None:
    depth, error = len(strengths), 0.3
    gamma = np.array(strengths)

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        below, above = np.array([1.0, *y[:-1]]), np.array([*y[1:], 1.0])
        return -y + (1 - gamma) * below + gamma * above  # all rest at 1

    ready = settling_time(strengths, "mismatch", error)
    allowed = KEPT * error * np.abs(chain(strengths, "mismatch").signal)
    times = np.linspace(0, ready + 20, 2000)
    path = scipy.integrate.solve_ivp(
        velocity, (0, times[-1]), np.zeros(depth), t_eval=times, rtol=1e-12, atol=1e-14
    )
    off = np.abs(np.diff(np.vstack([np.ones(len(times)), path.y]), axis=0))
    late = np.any(off > allowed[:, None], axis=0)
    assert not late[times > ready + 0.1].any()
    assert late[(times > ready - 0.2) & (times < ready - 0.1)].all()


# --- cells ---


@pytest.mark.parametrize("scale", SCALES)
def test_every_circuit_has_its_controls_and_as_many_steps(scale: str) -> None:
    cells = study(scale).cells
    same = ("dataset", "epochs", "batch", "rates", "seeds", "train_images", "width")
    for cell in cells:
        near = [one for one in cells if all(one[name] == cell[name] for name in same)]
        quiet = [one for one in near if one["way"] == "bp" and one["noise"] == 0]
        assert any(one["depth"] == 0 for one in quiet)
        if cell["way"] != "bp":
            here = [one for one in quiet if one["depth"] == cell["depth"]]
            assert {one["layers"] for one in here} == {"all", "output"}
    assert any(one["way"] != "bp" and one["noise"] == 0 for one in cells)
    assert len(str(cells[0]["seeds"]).split()) >= (2 if scale == "smoke" else 5)


AT: dict[str, Any] = {
    "dataset": "digits", "data_dir": None, "width": 16, "train_images": 400, "epochs": 5,
    "batch": 20, "rates": "0.005 0.01", "seeds": "1 2", "layers": "all",
}  # fmt: skip


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Back-propagation, its controls, and a circuit without noise, with some, and with too much."""
    bp: dict[str, Any] = {"way": "bp", "gamma": None, "below": None, "readout": None}
    gait: dict[str, Any] = {"way": "gait", "gamma": 0.3, "below": None, "readout": "mismatch"}
    graded = gait | {"gamma": 0.05, "below": 0.4}
    ways: list[dict[str, Any]] = [
        AT | bp | {"noise": 0.0, "depth": 0},
        AT | bp | {"noise": 0.0, "depth": 2},
        AT | bp | {"noise": 0.0, "depth": 2, "layers": "output"},
        *(AT | gait | {"noise": noise, "depth": 2} for noise in (0.0, 1e-2, 30.0)),
        AT | graded | {"noise": 1e-2, "depth": 2},
    ]
    return _joined(tmp_path_factory.mktemp("cells"), *ways)


def _joined(folder: Path, *ways: dict[str, Any]) -> xr.Dataset:
    """The cells as a command keeps and reads them."""
    few = Study("noisy_learning", ways, measure)
    few.path(ways[0], folder).parent.mkdir(parents=True)
    for cell in ways:
        store(few, cell, folder, storable(few, measure(**cell)))
    return collect(few, folder)


def test_noise_that_theory_calls_too_much_is_too_much(cells: xr.Dataset) -> None:
    rates, accuracy = chosen(cells)
    linear, bp, frozen, free, some, lost, _ = accuracy.mean(axis=1)
    assert bp > 0.75
    assert free > bp - 0.1
    assert some > 0.5
    assert lost < 0.3 < frozen
    hopes = predicted(cells, "after")
    assert hopes[5] < 0.05
    assert hopes[4] > 0.3
    np.testing.assert_allclose(controls(cells, 4), (linear, frozen))
    assert set(rates) <= {0.005, 0.01}
    assert (cells["settled"].values[3:] == 1).all()
    assert cells["settled"][:3].isnull().all()


def test_networks_of_a_stack_learn_as_alone(cells: xr.Dataset) -> None:
    gait: dict[str, Any] = {"way": "gait", "gamma": 0.3, "below": None, "readout": "mismatch"}
    alone = measure(**AT | gait | {"noise": 1e-2, "depth": 2, "seeds": "2", "rates": "0.01"})
    together = cells.isel(cell=4).sel(seed=2, rate=0.01)
    assert float(alone["test_accuracy"][0, 0]) == pytest.approx(
        float(together["test_accuracy"]), abs=0.02
    )
    np.testing.assert_allclose(
        alone["along"].values[0, 0], together["along"].sel(moment="before"), rtol=1e-3
    )


def test_the_rate_is_chosen_by_validation_and_told_of_test_images(cells: xr.Dataset) -> None:
    faked = cells.copy(deep=True)
    faked["validation_accuracy"].values[:] = np.array([0.9, 0.1])[:, None]
    faked["test_accuracy"].values[:] = np.array([0.2, 0.8])[:, None]
    rates, accuracy = chosen(faked)
    assert (rates == 0.005).all()
    assert (accuracy == 0.2).all()
    faked["validation_accuracy"].values[0, 0] = np.nan  # a stack that came to no end
    assert chosen(faked)[0][0] == 0.01


def test_the_threshold_parts_what_learns_from_what_does_not(cells: xr.Dataset) -> None:
    faked = cells.copy(deep=True)
    faked["validation_accuracy"].values[:] = 0.5
    bars = np.array([0.5, 0.9, 0.4, 0.9, 0.6, 0.1, 0.45])  # of the controls: 0.5 and 0.4
    faked["test_accuracy"].values[:] = bars[:, None, None]
    np.testing.assert_array_equal(learns(faked), bars > 0.5)
    found, cosines = threshold(faked), predicted(faked, "after")
    assert sorted([cosines[6], cosines[4]])[0] < found < sorted([cosines[6], cosines[4]])[1]
    one = faked.isel(seed=[0], cell=[0, 1, 3, 4, 5, 6])  # frozen layers have no cosine
    assert not learns(one).any()  # the control of frozen layers is not there
    noise = tolerated(one, 0.2, "before")
    assert (noise > 0).all()
    at_it = predicted(one.assign_coords(noise=("cell", noise)), "before")
    np.testing.assert_allclose(at_it, 0.2, rtol=1e-9)


def test_tables_and_pictures_are_made_from_the_cells(cells: xr.Dataset) -> None:
    lines = findings(cells)
    assert any("frozen hidden layers" in line for line in lines)
    assert sum("gait, 0.3 " in line for line in lines) == 3
    for _, draw in FIGURES.values():
        assert draw(cells).axes


@pytest.mark.parametrize("rates", ["0.005 1e30", "0.005 0.01"])
def test_no_prediction_is_made_from_weights_that_back_propagation_did_not_come_to(
    tmp_path: Path, rates: str
) -> None:
    """A step of 1e30 leaves the range of float32 in the next forward pass. `measure` takes the
    middle one of the rates, here the second, for the weights "after" learning.
    """
    bp: dict[str, Any] = {"way": "bp", "gamma": None, "below": None, "readout": None}
    gait: dict[str, Any] = {"way": "gait", "gamma": 0.3, "below": None, "readout": "mismatch"}
    of = AT | {"rates": rates, "noise": 0.0, "depth": 2, "train_images": 100, "epochs": 1}
    graded = gait | {"gamma": 0.05, "below": 0.4}
    data = _joined(tmp_path, of | bp, of | gait, of | graded | {"noise": 1e-2})
    kept, lines = done(data), findings(data)
    said = "noisy_learning: left out: digits, 2 hidden layers, 1 epochs, batches of 20: "
    said += "back-propagation failed, nothing is predicted from its weights"
    assert kept.sizes["cell"] == 3
    assert np.isfinite(predicted(kept, "before")).all()
    assert (said in lines) == (rates == "0.005 1e30")
    assert np.isfinite(predicted(kept, "after")).all() == (said not in lines)
    assert np.isnan(predicted(kept, "after")).all() == (said in lines)


def test_what_failed_is_said_in_the_table_and_in_every_picture(cells: xr.Dataset) -> None:
    """Back-propagation at the middle rate; then the frozen control at all, which leaves no bar."""
    assert failures(cells) == []
    for _, draw in FIGURES.values():
        assert "training failed" not in draw(cells)._suptitle.get_text()
    faked = cells.copy(deep=True)
    faked["status"] = faked["status"].astype(object)
    failed = "training failed: epoch 1, batch 2: W of layer 1 holds nan"
    faked["validation_accuracy"].loc[{"cell": 1, "rate": 0.01}] = np.nan
    faked["status"][1] = failed
    (line,) = failures(faked)
    assert line.endswith("back-propagation failed, nothing is predicted from its weights")
    hopes = predicted(done(faked), "after")
    assert np.isfinite(hopes[0])  # another depth, another back-propagation
    assert np.isnan(hopes[1:]).all()
    assert math.isnan(threshold(done(faked)))
    assert np.isfinite(threshold(done(faked), "before"))
    for name, (_, draw) in FIGURES.items():
        if name.endswith("answer"):
            with pytest.raises(CircuitError, match="nothing is predicted"):
                draw(faked)
        else:
            figure = draw(faked)
            assert "left out, since training failed: 1;" in figure._suptitle.get_text()
            figure.savefig(io.BytesIO())  # which an empty logarithmic axis forbids
    faked["validation_accuracy"][2] = np.nan
    faked["status"][2] = failed
    assert any(f"frozen hidden layers, noise 0: {failed}" in line for line in findings(faked))
    assert len(failures(faked)) == 2
    missing = cells.copy(deep=True)
    missing["validation_accuracy"][1] = np.nan  # not run yet: nothing has failed
    missing["status"] = missing["status"].astype(object)
    missing["status"][1] = "missing"
    assert failures(missing) == []

"""Other activation functions: tanh with clipped targets, linear outputs, and the study of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import mpmath
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from analysis.canvas import draw
from analysis.controls import CONTROLS
from analysis.sweep.run import run
from circuit.dynamics import build_circuit
from circuit.errors import CircuitError, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.losses import output_error
from circuit.network import forward
from circuit.rules import RULES
from circuit.units.clipped_tanh import clipped_tanh
from circuit.units.table import ACTIVATIONS, activation
from circuit.units.tanh import tanh
from models import run_training
from models.command.studies import findings
from studies.activations import figures
from studies.activations import study as activations
from training.measures import clipped_targets
from training.plan import Plan, initial_network

LIMIT = 0.999


# The units


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-200])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clipped_inverse_difference_against_mpmath(dtype, scale):
    """(atanh(clip(y + s d)) - atanh(clip(y))) / s, at, inside and outside the ends."""
    sizes = np.array([0, 1e-6, 0.3, 0.99, 0.9985, 0.9995, 1.0])
    rates = np.concatenate([-sizes, sizes]).astype(dtype)
    y, d = (
        a.ravel() for a in np.meshgrid(rates, np.array([-2.5, -0.1, 1e-5, 1.0, 7.0], dtype=dtype))
    )
    found = clipped_tanh(LIMIT).inverse_difference(y, d, scale)
    assert found.dtype == dtype
    edge = mpf(float(np.array(LIMIT, dtype=dtype)))
    with mp.workdps(300):

        def clip(x):
            return max(-edge, min(edge, x))

        for one, rate, shift in zip(found.tolist(), y.tolist(), d.tolist(), strict=True):
            end, start = clip(mpf(rate) + mpf(scale) * mpf(shift)), clip(mpf(rate))
            wanted = (mpmath.atanh(end) - mpmath.atanh(start)) / mpf(scale)
            # rounding y + s d at the end of the range moves atanh by eps / (1 - limit)
            allowed = float(30 * np.finfo(dtype).eps / (1 - LIMIT))
            cut = abs(mpf(rate)) > edge or abs(mpf(rate) + mpf(scale) * mpf(shift)) > 0.999 * edge
            absolute = allowed / scale if cut and scale > 1e-9 else allowed
            assert one == pytest.approx(float(wanted), rel=allowed, abs=absolute)


def test_forward_pass_is_that_of_tanh():
    h = np.linspace(-9, 9, 101)
    for name in ("value", "slope", "curvature"):
        np.testing.assert_array_equal(getattr(clipped_tanh(), name)(h), getattr(tanh(), name)(h))


@given(st.floats(-1, 1), st.floats(-50, 50), st.sampled_from((1.0, 0.1, 1e-9)))
def test_no_target_is_refused_and_none_turned_round(y, d, scale):
    """The shift of the drive has the sign of the shift of the rate, or is zero."""
    found = clipped_tanh().inverse_difference(np.array([y]), np.array([d]), scale)
    assert np.isfinite(found).all()
    assert found[0] * d >= 0
    inside = max(abs(y), abs(y + scale * d)) <= 0.998
    if inside:
        exact = tanh().inverse_difference(np.array([y]), np.array([d]), scale)
        np.testing.assert_array_equal(found, exact)


def test_clips_says_which():
    unit = clipped_tanh(0.9)
    y, d = np.array([0.5, 0.5, -0.5, -0.95]), np.array([0.3, 0.5, -0.5, 0.0])
    assert unit.clips(y, d, 1.0).tolist() == [False, True, True, True]
    assert unit.clips(y, d, 0.1).tolist() == [False, False, False, True]
    assert all(activation(name).clips is None for name in ACTIVATIONS if name != "clipped_tanh")


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.5, 2.0])
def test_limit_out_of_range(limit):
    with pytest.raises(CircuitError, match="not between 0 and 1"):
        clipped_tanh(limit)


def test_no_circuit_is_made_of_units_without_an_inverse():
    network = initialise([4, 4, 4], np.random.default_rng(0), activation="clipped_tanh")
    with pytest.raises(CircuitError, match="clipped_tanh does not; use tanh"):
        build_circuit(network)


# What tanh does to target propagation


def _shifts(units, rule="tp", gamma=1e-3):
    network = initialise(
        [5, 5, 5, 5],
        np.random.default_rng(1),
        init="gaussian",
        activation=[activation(one) for one in units],
    )
    rng = np.random.default_rng(2)
    inputs, targets = rng.random((6, 5)), np.eye(5)[rng.integers(0, 5, 6)]
    activity = forward(network, inputs)
    error = output_error(network, activity, targets)
    return network, inputs, targets, RULES[rule](network, activity, error, gamma)


def test_one_hot_targets_are_refused_by_tanh_outputs_in_tp_alone():
    """f^-1(1) is infinite; an increment of a thousandth of the way stays inside."""
    with pytest.raises(TargetOutOfRange, match="rate of size 1,.* or clipped_tanh"):
        _shifts(["tanh"] * 3)
    for rule in ("itp", "gait", "bp"):
        _shifts(["tanh"] * 3, rule)


def test_hidden_targets_leave_the_range_and_are_counted():
    """Loop by loop: of each layer's targets y + delta, how many are beyond the limit."""
    units = ["clipped_tanh", "clipped_tanh", "linear"]
    with pytest.raises(TargetOutOfRange):
        _shifts(["tanh", "tanh", "linear"])
    network, inputs, targets, shifts = _shifts(units)
    activity = forward(network, inputs)
    beyond = 0
    for image in range(6):
        for unit in range(5):
            target = activity.rates[2][image, unit] + shifts.absolute(2)[image, unit]
            beyond += abs(target) > LIMIT
    assert beyond > 0
    found = clipped_targets(network, Lesson(rule="tp"), inputs, targets)
    assert found[1] == pytest.approx(beyond / 30)
    assert np.isnan(found[[0, 2]]).all()  # nothing is sent down from layer 1; linear units
    assert clipped_targets(network, Lesson(rule="gait"), inputs, targets)[1] == 0
    assert np.isnan(clipped_targets(network, Lesson(rule="bp"), inputs, targets)).all()


def test_clipped_targets_are_those_of_eq_5_with_clipped_rates():
    """delta_{l-1} = W^-1 [atanh(clip(y + delta)) - atanh(y)], written out."""
    network, inputs, _, shifts = _shifts(["clipped_tanh", "clipped_tanh", "linear"])
    activity = forward(network, inputs)
    target = np.clip(activity.rates[2] + shifts.absolute(2), -LIMIT, LIMIT)
    drive = np.arctanh(target) - np.arctanh(activity.rates[2])
    wanted = np.linalg.solve(network.weights[1], drive.T).T
    np.testing.assert_allclose(shifts.absolute(1), wanted, rtol=1e-9, atol=1e-12)


# Options of the training command


SMALL = ["--dataset", "digits", "--depth", "2", "--train-images", "120", "--batch", "30"]
QUIET = ["--no-figures", "--quiet", "--measure-every", "1"]


def test_output_units_of_a_plan():
    plan = Plan(Lesson(), (4, 4, 4, 4), activation="tanh", output_activation="linear")
    assert plan.activations == ("tanh", "tanh", "linear")
    assert replace(plan, output_activation="same").activations == ("tanh",) * 3
    assert [unit.name for unit in initial_network(plan, 4).activations] == [
        "tanh",
        "tanh",
        "linear",
    ]


@pytest.mark.parametrize("output", ["same", "linear"])
def test_tp_on_tanh_fails_with_its_epoch_and_a_remedy(tmp_path, capsys, output):
    arguments = [*SMALL, *QUIET, "--rule", "tp", "--activation", "tanh", "--epochs", "2"]
    arguments += ["--orthogonality", "0", "--learning-rate", "0.05", "--output-activation", output]
    assert run_training.main([*arguments, "--output", str(tmp_path)]) == 1
    words = capsys.readouterr().err if output == "same" else capsys.readouterr()
    text = words if isinstance(words, str) else words.err + words.out
    assert "epoch" in text
    assert "clipped_tanh" in text


def test_clipped_targets_are_in_the_history_and_a_run_goes_on_bit_for_bit(tmp_path):
    arguments = [*SMALL, *QUIET, "--rule", "tp", "--activation", "clipped_tanh"]
    arguments += ["--output-activation", "linear", "--learning-rate", "1e-3"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_training.main([*arguments, "--epochs", "2", "--output", str(whole)]) == 0
    assert run_training.main([*arguments, "--epochs", "1", "--output", str(parts)]) == 0
    again = [*arguments, "--epochs", "2", "--resume", "--output", str(parts)]
    assert run_training.main(again) == 0
    with (
        xr.open_dataset(whole / "history.nc") as one,
        xr.open_dataset(parts / "history.nc") as other,
    ):
        assert one["clipped"].dims == ("seed", "epoch", "layer")
        assert np.isfinite(one["clipped"].sel(layer=2)).all()
        np.testing.assert_array_equal(one["clipped"], other["clipped"])
        np.testing.assert_array_equal(one["test_loss"], other["test_loss"])
    other_units = [*arguments, "--epochs", "2", "--resume", "--output", str(parts)]
    other_units[other_units.index("linear")] = "same"
    with pytest.raises(SystemExit):  # a checkpoint of another configuration
        run_training.main(other_units)


def test_units_that_clip_are_not_for_circuits(tmp_path, capsys):
    arguments = [*SMALL, *QUIET, "--rule", "circuit", "--activation", "clipped_tanh"]
    status = None
    try:
        status = run_training.main([*arguments, "--epochs", "1", "--output", str(tmp_path)])
    except SystemExit as leaving:
        status = leaving.code
    assert status in (1, 2)
    assert "use tanh" in capsys.readouterr().err


# The study


def test_every_rule_is_tuned_with_equal_effort():
    cells = activations.study("laptop").cells
    tuning = [cell for cell in cells if cell["purpose"] == "tuning"]
    tried = {}
    for cell in tuning:
        key = (cell["input_gain"], cell["activation"], cell["rule"])
        tried.setdefault(key, set()).add((cell["learning_rate"], cell["orthogonality"]))
    gains, units = activations.INPUT_GAINS, activations.HIDDEN
    rules = {*activations.RULES, *CONTROLS} - {"circuit"}  # which has GAIT-prop's
    assert set(tried) == set(product(gains, units, rules))
    assert len({frozenset(points) for points in tried.values()}) == 1
    assert {cell["seed"] for cell in tuning}.isdisjoint(
        cell["seed"] for cell in cells if cell["purpose"] == "test"
    )
    points = next(iter(tried.values()))
    for (gain, unit, rule), chosen in activations.CHOSEN.items():
        assert chosen in points
        if rule == "circuit":
            assert chosen == activations.CHOSEN[gain, unit, "gait"]


def test_data_sets_of_a_scale():
    names = {cell["dataset"] for cell in activations.study("laptop").cells}
    assert names == {"mnist", "fashion_mnist", "kmnist"}
    only = activations.study("laptop", dataset="kmnist")
    assert {cell["dataset"] for cell in only.cells} == {"kmnist"}


@pytest.mark.usefixtures("rough_pictures")
def test_study_runs_draws_and_tells(tmp_path):
    whole = activations.study("smoke", seeds=(1, 2))
    small = replace(
        whole,
        cells=tuple(
            c
            for c in whole.cells
            if c["rule"] in ("bp", "tp", "circuit")
            and c["activation"] != "asinh"
            and (c["input_gain"] == 1 or c["purpose"] == "test")
        ),
    )
    data = run(small, tmp_path, workers=0, quiet=True)
    assert set(data["status"].values.tolist()) == {"completed"}
    clipping = data["clipped_start"].values > 0
    assert not clipping[data["rule"].values != "tp"].any()
    assert not clipping[data["activation"].values != "tanh"].any()
    assert [path.name for path in draw(figures.FIGURES, data, tmp_path)] == [
        "activations_accuracy.png"
    ]
    words = "\n".join(findings("activations", data))
    assert "| TP | tanh | digits |" in words
    assert "hidden targets of tanh units clipped" in words

"""Measures of the circuit at one feedback strength, against closed forms and dense algebra."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import t as student

from analysis import stability
from analysis.statistics import over_repetitions
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.linearisation.matrix import dense_jacobian
from circuit.methods import ode
from circuit.storage.networks import save_network
from circuit.verification.judgement import Status
from studies.setting import described, setting
from studies.strength import measures as measured
from studies.strength import partly_settled as settled_images
from studies.strength.study import measure, study


def _scene(*, init="orthogonal", activation="leaky_relu", depth=3, width=12, batch=6, seed=3):
    """A network, inputs and targets; every output has a target."""
    rng = np.random.default_rng(seed)
    network = initialise([width] * (depth + 2), rng, init=init, activation=activation)
    return network, rng.random((batch, width)), rng.random((batch, width))


def _trial(scene, pathway, gamma):
    network, inputs, targets = scene
    return begin(build_circuit(network, pathway, gamma), inputs, targets)


def _gambler(gamma, depth):
    """c_0 .. c_{L+1} by a dense solve of c_l = (1 - gamma) c_{l-1} + gamma c_{l+1}."""
    matrix = np.eye(depth + 2)
    for layer in range(1, depth + 1):
        matrix[layer, layer - 1], matrix[layer, layer + 1] = gamma - 1, -gamma
    return np.linalg.solve(matrix, [0.0] * (depth + 1) + [1.0])


def _piece(trial, sample):
    """Slopes and matrices D_l = A_l W_l of one image's linear piece."""
    slopes = [slope[sample] for slope in trial.activity.slopes]
    weights = trial.network.weights
    return slopes, [slope[:, None] * weight for slope, weight in zip(slopes, weights, strict=True)]


def _gait_equilibrium(trial, sample, gamma):
    """Shifts of the GAIT circuit in the linear piece of the forward pass, one dense solve."""
    slopes, lifted = _piece(trial, sample)
    depth, n = len(lifted), len(slopes[0])
    matrix, source = np.zeros((depth * n, depth * n)), np.zeros(depth * n)
    here = [slice(layer * n, (layer + 1) * n) for layer in range(depth)]
    for layer in range(depth):
        matrix[here[layer], here[layer]] += np.eye(n)
        drive = gamma if layer == depth - 1 else 0.0
        if layer > 0:
            matrix[here[layer], here[layer - 1]] -= (1 - drive) * lifted[layer]
        if layer == depth - 1:
            source[here[layer]] = gamma * trial.error[sample]
            continue
        # (1 - gamma) m_l = gamma W^-1 A (delta_{l+1} - D delta_l)
        down = gamma / (1 - gamma) * np.linalg.inv(trial.network.weights[layer + 1])
        down = down * slopes[layer + 1]
        matrix[here[layer], here[layer + 1]] -= down
        matrix[here[layer], here[layer]] += down @ lifted[layer + 1]
    shifts = np.linalg.solve(matrix, source)
    return [shifts[part] for part in here]


# --- what settled ---


def test_images_without_an_equilibrium_are_counted_and_left_out():
    """Strong GAIT feedback through kinks: the measures are those of the images that settled."""
    trial = _trial(_scene(batch=20), "gait", 0.7)
    found = measured.measures(trial)
    fraction = float(found["settled_fraction"])
    assert 0 < fraction < 1
    assert str(found["status"].values) == "settled in part"
    outcomes = found["outcome_fraction"]
    assert float(outcomes.sum()) == pytest.approx(1)
    assert float(outcomes.sel(outcome="converged")) == fraction
    settled = measured.settle_most(trial)
    assert len(settled.images) == round(20 * fraction)
    alone = measured.measures(trial.samples(settled.images))
    np.testing.assert_allclose(found["cosine"], alone["cosine"], rtol=1e-6)
    np.testing.assert_allclose(found["gain_ratio"], alone["gain_ratio"], rtol=1e-6)


def test_stability_is_that_of_an_image_with_no_unit_at_its_kink():
    """There the field has no derivative. The sliding images first, the others after them: what is
    measured is the first of the others."""
    trial = _trial(_scene(batch=20), "gait", 0.3)
    record = settle(trial)
    slides = np.any([(at > 0).any(axis=1) for at in record.sliding_slopes], axis=0)
    assert 0 < slides.sum() < 20
    order = [*np.flatnonzero(slides), *np.flatnonzero(~slides)]
    mixed = measured.stability_measures(measured.settle_most(trial.samples(order)))
    other = trial.samples([int(np.flatnonzero(~slides)[0])])
    leading = np.linalg.eigvals(0.01 * dense_jacobian(other, settle(other).shifts)).real.max()
    assert float(mixed["spectral_abscissa"]) == pytest.approx(leading, rel=1e-6)
    bent = trial.samples(np.flatnonzero(slides).tolist())
    found = measured.stability_measures(measured.settle_most(bent))
    assert "kink" in str(found["stability"].values)
    assert np.isnan(float(found["spectral_abscissa"]))


def test_where_none_settles_there_are_no_numbers_but_a_reason():
    trial = _trial(_scene(init="gaussian", depth=5, batch=4, activation="asinh"), "itp", 0.5)
    found = measured.measures(trial)
    assert float(found["settled_fraction"]) == 0
    assert str(found["status"].values) != Status.CONVERGED.value
    assert str(found["stability"].values) == "no image settled"
    for name in ("cosine", "relative_error", "gain_ratio", "settling_time", "transient_growth"):
        assert np.all(np.isnan(found[name].values)), name


def test_newton_settles_smooth_images_that_direct_does_not(monkeypatch):
    """What is merged from two methods is what newton finds alone, to a finer tolerance."""
    trial = _trial(_scene(activation="asinh", depth=7, batch=4), "gait", 0.5)
    monkeypatch.setitem(settled_images.STEPS_OF_DIRECT, ("smooth", "gait"), 1)
    assert not settle(trial, max_steps=1, must_converge=False).converged
    settled = measured.settle_most(trial)
    assert settled.status == "converged"
    again = settle(trial, "newton", tolerance=1e-12, must_converge=False)
    for layer in range(1, 9):
        np.testing.assert_allclose(
            settled.shifts.absolute(layer), again.shifts.absolute(layer), rtol=1e-6, atol=1e-12
        )
        np.testing.assert_allclose(
            settled.mismatches.absolute(layer), again.mismatches.absolute(layer), atol=1e-8
        )


def test_sweep_settles_kinked_images_that_direct_does_not(monkeypatch):
    """`direct` is given eight steps, too few for some images: what comes back is a state that the
    printed equations leave at rest, in every layer relative to its own shift."""
    network, inputs, targets = _scene(depth=7, batch=12)
    trial = begin(build_circuit(network, "itp", 0.3), inputs, targets)
    monkeypatch.setitem(settled_images.STEPS_OF_DIRECT, ("kinked", "itp"), 8)
    direct = settle(trial, max_steps=8, must_converge=False)
    settled = measured.settle_most(trial)
    alone = sum(status is Status.CONVERGED for status in direct.sample_status)
    assert 0 < alone < len(settled.images)
    part = settled.trial
    rates = [part.activity.rates[i] + settled.shifts.absolute(i) for i in range(1, 9)]
    for layer, speed in enumerate(velocity(part, rates), 1):
        size = np.linalg.norm(settled.shifts.absolute(layer), axis=1)
        assert np.all(np.linalg.norm(0.010 * speed, axis=1) < 1e-8 * size), layer


# --- updates ---


@pytest.mark.parametrize("readout", ["shift", "mismatch"])
def test_orthogonal_gait_circuit_carries_bp_and_gaussian_does_not(readout):
    for init, carries in (("orthogonal", True), ("gaussian", False)):
        found = measured.measures(_trial(_scene(init=init), "gait", 1e-4)).sel(readout=readout)
        assert np.all(found["cosine"].sel(rule="gait") > 1 - 1e-6)
        assert np.all(found["relative_error"].sel(rule="gait") < 1e-2)
        cosine = found["cosine"].sel(rule="bp").values
        assert bool(np.all(cosine > 1 - 1e-6)) is carries
        assert cosine[-1] > 1 - 1e-6  # at the output all rules are one
        if not carries:
            assert np.all(cosine[:-1] < 0.9)


def test_rows_of_unequal_lengths_ask_for_grait():
    """Section 8 of the derivation: with those, and only with those, it is no other name for GAIT.
    The circuits with rows of one length are the cells that there were before.
    """
    cells = study("laptop").cells
    unequal = [cell for cell in cells if cell["init"] == "unequal_rows"]
    assert len(cells) - len(unequal) == 12 * 3 * 2 * 2 * 2 * 2 * 5
    assert len(unequal) == 12 * 3 * 2 * 5
    assert {cell["pathway"] for cell in unequal} == {"gait", "grait"}
    assert {cell["pathway"] for cell in cells if cell not in unequal} == {"gait", "itp"}
    found = {}
    for cell in study("smoke").cells:
        if (cell["init"], cell["gamma"], cell["depth"]) == ("unequal_rows", 1e-3, 2):
            data = measure(**cell).sel(readout="shift", layer=1)
            found.setdefault(cell["pathway"], []).append(float(data["cosine"].sel(rule="bp")))
    assert min(found["grait"]) > 1 - 1e-6
    assert max(found["gait"]) < 0.97


def test_itp_pathway_carries_itp():
    found = measured.measures(_trial(_scene(), "itp", 1e-5))
    assert np.all(found["cosine"].sel(rule="itp", readout="shift") > 1 - 1e-6)
    assert np.all(found["cosine"].sel(rule="bp", readout="shift")[:-1] < 0.99)


def test_a_rule_without_targets_is_said_to_refuse():
    """Target propagation wants the output at its target, here 1: tanh never gets there."""
    network, inputs, _ = _scene(activation="tanh")
    found = measured.measures(begin(build_circuit(network, "gait", 0.01), inputs, np.eye(12)[:6]))
    assert found["refused"].to_series().to_dict() == {
        "gait": 0,
        "grait": 0,
        "itp": 0,
        "tp": 1,
        "bp": 0,
    }
    assert np.all(np.isnan(found["cosine"].sel(rule="tp")))
    assert np.all(np.isfinite(found["cosine"].sel(rule=["gait", "bp"])))


# --- gains ---


@pytest.mark.parametrize("gamma", [1e-5, 0.1, 0.5])
def test_gain_of_the_itp_circuit_is_the_closed_form(gamma):
    """Linear units, any weights: the ratio is 1, and the prediction is the gambler's ruin."""
    trial = _trial(_scene(init="gaussian", activation="linear"), "itp", gamma)
    predicted = measured.predicted_gains(trial)
    wanted = _gambler(gamma, 4)[1:-1]
    np.testing.assert_allclose([gain.value for gain in predicted], wanted, rtol=1e-10)
    found = measured.measures(trial)
    np.testing.assert_allclose(found["gain_ratio"], 1, rtol=1e-6)
    np.testing.assert_allclose(found["log10_gain_predicted"], np.log10(wanted), rtol=1e-10)


def test_gain_is_the_least_squares_factor():
    """Against a regression of the absolute shifts on the rule's, unit by unit."""
    trial = _trial(_scene(activation="asinh"), "gait", 0.1)
    settled = measured.settle_most(trial)
    rule = measured.rule_shifts(trial)["gait"]
    ratios = measured.gain_ratios(settled, rule)
    for layer in range(1, 5):
        x = rule.absolute(layer).ravel() / rule.gains[layer - 1].value
        y = settled.shifts.absolute(layer).ravel()
        gain = float(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0])
        assert ratios[layer - 1] == pytest.approx(
            gain / (0.1 * (0.1 / 0.9) ** (4 - layer)), rel=1e-9
        )
    assert np.max(np.abs(ratios - 1)) > 0.01  # strong feedback: the prediction is off


# --- kinks ---


def test_crossed_units_by_comparing_rates():
    """A unit has crossed if its drive, or what it reports, lies on the other side: by hand."""
    scene = _scene(batch=8, seed=4)
    trial = _trial(scene, "itp", 0.2)
    settled = measured.settle_most(trial)
    assert settled.status == "converged"
    rates = [
        scene[1],
        *(
            was + settled.shifts.absolute(layer)
            for layer, was in enumerate(trial.activity.rates[1:], 1)
        ),
    ]
    wanted = [0.0]
    for layer in range(2, 5):
        drive = rates[layer - 1] @ scene[0].weights[layer - 1].T
        before = trial.activity.drive(layer) > 0
        wanted.append(np.mean(((drive > 0) != before) | ((rates[layer] > 0) != before)))
    assert sum(wanted) > 0
    np.testing.assert_allclose(measured.crossed_fractions(settled), wanted, atol=1e-12)


def test_first_crossing_of_the_itp_circuit_in_closed_form():
    """delta_l = c_l v_l with v_l = (D_{l+1}^-1 .. D_L^-1) e: what layer l reports crosses where
    c_l = |h| / |v / A|; the strength that has this c_l is found by Brent's method."""
    scene = _scene(batch=8, seed=4)
    trial = _trial(scene, "itp", 0.1)
    least = np.inf
    for sample in range(8):
        slopes, lifted = _piece(trial, sample)
        v = trial.error[sample]
        for layer in range(4, 1, -1):
            h, moved = trial.activity.drive(layer)[sample], v / slopes[layer - 1]
            towards = h * moved < 0
            wanted = np.min(np.abs(h[towards] / moved[towards]), initial=np.inf)
            if wanted < _gambler(0.5, 4)[layer]:
                least = min(
                    least,
                    brentq(lambda g, i=layer, c=wanted: _gambler(g, 4)[i] - c, 1e-9, 0.5),
                )
            v = np.linalg.solve(lifted[layer - 1], v)
    found = measured.first_crossing(lambda gamma: _trial(scene, "itp", gamma))
    assert least <= found <= least * 1.011


def test_first_crossing_of_the_gait_circuit_against_dense_algebra():
    """Below it no image has a unit across its kink, just above it one has."""
    scene = _scene(batch=5, seed=4)
    found = measured.first_crossing(lambda gamma: _trial(scene, "gait", gamma))
    assert 1e-6 < found < 0.5

    def crosses(gamma):
        trial = _trial(scene, "gait", gamma)
        for sample in range(5):
            shifts = _gait_equilibrium(trial, sample, gamma)
            slopes, lifted = _piece(trial, sample)
            for layer in range(1, 4):
                h = trial.activity.drive(layer + 1)[sample]
                drive = h + trial.network.weights[layer] @ shifts[layer - 1]
                mismatch = shifts[layer] - lifted[layer] @ shifts[layer - 1]
                report = drive + slopes[layer] * mismatch
                if np.any(drive * h < 0) or np.any(report * h < 0):
                    return True
        return False

    assert crosses(found * 1.001)
    assert not any(crosses(gamma) for gamma in np.geomspace(1e-6, found / 1.011, 40))


def test_units_without_a_kink_cross_none():
    for activation in ("asinh", "linear"):
        scene = _scene(activation=activation)
        assert np.isnan(measured.first_crossing(lambda gamma, s=scene: _trial(s, "itp", gamma)))
        settled = measured.settle_most(_trial(scene, "itp", 0.1))
        assert np.all(np.isnan(measured.crossed_fractions(settled)))


# --- stability ---


def test_stability_of_the_linear_itp_circuit():
    """The known spectrum of docs/derivation.md, section 3, and what follows from it."""
    found = measured.measures(_trial(_scene(init="gaussian", activation="linear"), "itp", 0.2))
    spread = 2 * np.sqrt(0.2 * 0.8) * np.cos(np.pi / 5)
    assert str(found["stability"].values) == measured.MEASURED
    assert float(found["spectral_abscissa"]) == pytest.approx(-1 + spread, abs=1e-5)
    assert float(found["euler_step"]) == pytest.approx(2 / (1 + spread), abs=1e-5)
    assert float(found["numerical_abscissa"]) > float(found["spectral_abscissa"])
    assert float(found["transient_growth"]) > 1


def test_settling_time_against_integration():
    """The trajectory of the circuit itself, by SciPy: linear units, so it is the linearised one."""
    trial = _trial(_scene(activation="linear", depth=2, batch=1), "gait", 0.1)
    settled = measured.settle_most(trial)
    found = measured.stability_measures(settled)["settling_time"].values
    times = np.linspace(0.01, 30, 3000)
    states, _ = ode.integrate(trial, trial.at_rest(), times * 0.010, rtol=1e-10)
    for layer in range(1, 4):
        end = settled.shifts.absolute(layer)
        away = [np.linalg.norm(s.absolute(layer) - end) / np.linalg.norm(end) for s in states]
        last = times[np.flatnonzero(np.array(away) > 1e-3)[-1]]
        assert found[layer - 1] == pytest.approx(last, abs=0.03)


def test_what_is_not_computed_says_why():
    settled = measured.settle_most(_trial(_scene(), "gait", 0.01))
    found = measured.stability_measures(settled, largest_units=47)
    assert str(found["stability"].values) == measured.ABSCISSAS_ONLY
    everything = measured.stability_measures(settled, 48)
    assert str(everything["stability"].values) == measured.MEASURED
    for name in ("euler_step", "transient_growth", "settling_time"):
        assert np.all(np.isnan(found[name].values)), name
        assert np.all(np.isfinite(everything[name].values)), name
    for name in ("spectral_abscissa", "numerical_abscissa"):
        assert float(found[name]) == pytest.approx(float(everything[name]), abs=1e-4), name


def test_abscissas_that_are_not_found_are_not_given(monkeypatch):
    monkeypatch.setattr(stability, "RESTARTS", 1)
    monkeypatch.setattr(stability, "BASIS", 4)
    settled = measured.settle_most(_trial(_scene(), "gait", 0.01))
    found = measured.stability_measures(settled, largest_units=47)
    assert str(found["stability"].values) == measured.NOT_CONVERGED
    assert np.isnan(float(found["spectral_abscissa"]))


def test_eigenvalues_that_rounding_has_moved_are_not_given():
    """Weak feedback in a deep circuit: L-fold eigenvalues, defective to rounding."""
    trial = _trial(_scene(depth=11, width=10), "gait", 1e-9)
    found = measured.stability_measures(measured.settle_most(trial))
    assert float(found["spectral_abscissa_error"]) > 0.05
    assert np.isnan(float(found["spectral_abscissa"]))
    assert np.all(np.isfinite(found["settling_time"].values))


def test_distance_from_orthogonality():
    network, *_ = _scene()
    np.testing.assert_allclose(measured.orthogonality_distances(network), 0, atol=1e-13)
    doubled = initialise([12, 12], np.random.default_rng(1))
    doubled.weights[0][:] *= 2  # W'W = 4 I
    np.testing.assert_allclose(measured.orthogonality_distances(doubled), 3, rtol=1e-12)


# --- intervals ---


def test_interval_is_student_s():
    values = np.array([[1.0, 5.0], [2.0, np.nan], [4.0, np.nan], [5.0, np.nan]])
    mean, half = over_repetitions(values)
    low, _ = student.interval(0.95, 3, loc=3.0, scale=np.sqrt(10 / 3 / 4))
    assert (mean[0], mean[0] - half[0]) == (3.0, pytest.approx(low, rel=1e-12))
    assert mean[1] == 5.0
    assert np.isnan(half[1])
    assert np.isnan(over_repetitions(np.full((2, 1), np.nan))[0][0])
    mean, half = over_repetitions(np.array([[1.0], [2.0]]))  # two tell no more than themselves
    assert mean[0] == 1.5
    assert np.isnan(half[0])


# --- the study ---


@pytest.mark.parametrize("scale", ["smoke", "laptop", "full"])
def test_cells_are_a_full_grid(scale):
    """Every combination once, and all of a network in one group, so that its factors are shared;
    beside it one of rows of unequal lengths.
    """
    cells = study(scale, seeds=[1, 2]).cells
    names = ("depth", "width", "init", "activation", "seed", "pathway", "gamma")
    counts = Counter(tuple(cell[name] for name in names) for cell in cells)
    assert set(counts.values()) == {1}
    for unequal in (True, False):
        part = [cell for cell in cells if (cell["init"] == "unequal_rows") is unequal]
        sizes = [len({cell[name] for cell in part}) for name in names]
        assert len(part) == np.prod(sizes)
    groups = study(scale, seeds=[1, 2]).groups(cells)
    assert {len(group) for group in groups} == {2 * sizes[-1]}
    if scale == "laptop":
        assert len({cell["seed"] for cell in study(scale).cells}) >= 3
        gammas = sorted({cell["gamma"] for cell in cells})
        assert len(gammas) >= 12
        assert (gammas[0], gammas[-1]) == (1e-5, 0.5)


def test_trained_weights_are_measured_like_any_others(tmp_path):
    """The orthogonal network of a seed, saved and given back as trained: the same to the bit."""
    path = tmp_path / "net.npz"
    save_network(path, setting(depth=2, width=16, seed=2).network)
    cells = study("smoke", seeds=[2], weights=path).cells
    (trained,) = [
        c for c in cells if (c["init"], c["pathway"], c["gamma"]) == ("trained", "gait", 0.05)
    ]
    (drawn,) = [
        c
        for c in cells
        if (c["init"], c["depth"], c["pathway"], c["gamma"]) == ("orthogonal", 2, "gait", 0.05)
    ]
    # the images are drawn before the weights, by generators of their own
    assert measure(**trained).identical(measure(**drawn))
    described_before = described(path)["weights_digest"]
    save_network(path, setting(depth=2, width=16, seed=3).network)
    assert described(path)["weights_digest"] != described_before

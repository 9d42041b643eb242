"""Units that rest at their kink: by hand, by Euler steps, by smooth kinks, by exact roots.

Nothing here but what is tested comes from the library: equations are written down again.
"""

from itertools import islice

import numpy as np
import pytest
import scipy.optimize

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.network import Network
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.report.deviation import deviations, update_bound
from circuit.rules import RULES
from circuit.shift_dynamics import layer_terms, scale_ratio
from circuit.units.leaky_relu import leaky_relu
from circuit.verification.judgement import Status, judge
from circuit.verification.sliding import balanced_messages, near_a_kink
from tests.circuit.test_dynamics import make_trial
from tests.exact_roots import ExactRoot

A = 0.1  # the leaky slope


def _f(h):
    return np.where(h > 0, h, A * h)


def _inverse(y):
    return np.where(y > 0, y, y / A)


def _chain(drive, error, gamma):
    """Two layers of one unit: the output's drive in the forward pass, and its error."""
    one, unit = np.ones((1, 1)), leaky_relu()
    network = Network((one, one), (np.zeros(1), np.array([drive - 1.0])), (unit, unit), 1, 1)
    circuit = build_circuit(network, "gait", gamma)
    return begin(circuit, np.array([[1.0]]), np.array([[float(_f(drive)) + error]]))


def _rest_points(drive, error, gamma):
    """Drives u of the output unit at which u = h + r v(u), on both sides of the kink, by hand."""
    r = gamma / (1 - gamma)

    def gap(u):
        m = gamma * (error - (_f(u) - _f(drive)))
        slope = np.where(u > 0, 1.0, A)
        return drive + r * (_inverse(_f(u) + slope**2 * m) - u) - u

    found = []
    for side in (np.geomspace(1e-12, 30, 4000), -np.geomspace(1e-12, 30, 4000)):
        values = gap(side)
        for i in np.flatnonzero(values[1:] * values[:-1] < 0):
            found.append(scipy.optimize.brentq(gap, side[i], side[i + 1], xtol=1e-14))
    return found


# h over r |m|: the old page had a gap between 0.1 and 1 only
@pytest.mark.parametrize("place", [0.12, 0.5, 2.0, 9.5])
@pytest.mark.parametrize("gamma", [0.01, 0.08])
def test_in_the_gap_the_unit_rests_at_its_kink(gamma, place):
    """r a |m| < h < r |m| / a: no slope fits, and the balance fixes s^2 = a h / (r |m|)."""
    r, error = gamma / (1 - gamma), -1.5
    # at the kink m = gamma (e + h), as f(h) = h is lost; h = place r |m|
    drive = -place * r * gamma * error / (1 + place * r * gamma)
    mismatch = gamma * (error + drive)
    assert drive == pytest.approx(place * r * abs(mismatch))
    assert _rest_points(drive, error, gamma) == []
    record = settle(_chain(drive, error, gamma), "direct")  # and no second method, as by default
    assert record.shifts.absolute(1)[0, 0] == pytest.approx(-drive, rel=1e-9)
    assert record.mismatches.absolute(2)[0, 0] == pytest.approx(mismatch, rel=1e-9)
    slope = np.sqrt(A * drive / (r * abs(mismatch)))
    assert record.sliding_slopes[1][0, 0] == pytest.approx(slope, rel=1e-6)
    assert not record.sliding_slopes[0].any()


@pytest.mark.parametrize("place", [0.08, 12.0])
def test_outside_the_gap_one_slope_fits_and_nothing_slides(place):
    gamma, error = 0.05, -1.5
    r = gamma / (1 - gamma)
    drive = -place * r * gamma * error / (1 + place * r * gamma)
    (root,) = _rest_points(drive, error, gamma)
    record = settle(_chain(drive, error, gamma))
    assert record.shifts.absolute(1)[0, 0] == pytest.approx(root - drive, rel=1e-8)
    assert not record.sliding_slopes[1].any()


def test_strong_feedback_caps_the_gap():
    """r > a / (1 - a): from h = (1 + r) |m| on, a rest point that crosses no kink is there too."""
    gamma, error = 0.4, -1.5
    counts = []
    for h_over_m in (0.95, 1.05):  # of 1 + r; the gap would go on to r / a = 6.67
        size = (1 + gamma / (1 - gamma)) * h_over_m
        # with slope 1 throughout m = gamma (e - r m), at the kink m = gamma (e + h)
        m = gamma * error / (1 + gamma * gamma / (1 - gamma))
        counts.append(len(_rest_points(-size * m, error, gamma)))
    assert counts == [0, 2]


@pytest.mark.parametrize(
    ("place", "roots"), [(0.008, 1), (0.012, 2), (0.5, 2), (0.95, 2), (1.1, 1)]
)
def test_the_mirrored_gap(place, roots):
    """h < 0, m > 0: two rest points for r a^2 m < |h| < r m, one outside. One of them is found."""
    gamma, error = 0.01, 1.5
    r = gamma / (1 - gamma)
    drive = -place * r * gamma * error
    expected = _rest_points(drive, error, gamma)
    assert len(expected) == roots
    record = settle(_chain(drive, error, gamma))
    shift = record.shifts.absolute(1)[0, 0]
    assert min(abs(shift / (u - drive) - 1) for u in expected) < 1e-7
    assert not record.sliding_slopes[1].any()


def test_the_ruler_accepts_no_slope_outside_the_interval():
    """At its kink, but balanced only by a slope beyond 1 or below a, or driven off it (m > 0)."""
    gamma, error = 0.05, -1.5
    r = gamma / (1 - gamma)
    for place, accepted in ((0.08, False), (2.0, True), (12.0, False)):
        drive = -place * r * gamma * error / (1 + place * r * gamma)
        trial = _chain(drive, error, gamma)
        record = settle(trial)
        scales = [scale.value for scale in record.shifts.scales]
        # by hand: the first unit lower by h, the output at f(0) + m
        second = -drive + gamma * (error + drive)
        values = (np.array([[-drive / scales[0]]]), np.array([[second / scales[1]]]))
        found = judge(trial, record.shifts.with_values(values), 1e-10)
        assert (found.worst < 1e-10) is accepted
    trial = _chain(-0.5 * r * gamma * 1.5, 1.5, gamma)  # mirrored: a rest point, but repelling
    record = settle(trial)
    h = -0.5 * r * gamma * 1.5
    scales = [scale.value for scale in record.shifts.scales]
    second = -A * h + gamma * (1.5 + A * h)
    values = (np.array([[-h / scales[0]]]), np.array([[second / scales[1]]]))
    assert judge(trial, record.shifts.with_values(values), 1e-10).worst > 0.1


# --- against the dynamics, literally ---


def _sliding_trial(seed, gamma=0.25, widths=(4, 4, 4, 3)):
    """A circuit of which some image slides; None where none does."""
    rng = np.random.default_rng(seed)
    trial = make_trial(rng, "gait", "leaky_relu", gamma, widths=widths, n_outputs=2, error=1.5)
    record = settle(trial, must_converge=False)
    slides = [bool(sum((s[i] > 0).sum() for s in record.sliding_slopes)) for i in range(2)]
    right = [record.sample_status[i] is Status.CONVERGED and slides[i] for i in range(2)]
    return (record, right.index(True)) if any(right) else None


def _some_sliding(count, **options):
    found = (_sliding_trial(seed, **options) for seed in range(200))
    return list(islice((case for case in found if case is not None), count))


def _euler(record, sample, step, time):
    """Rates after Euler steps of the printed equations from the forward pass; step in tau."""
    trial = record.trial
    network, gamma = trial.network, trial.circuit.strengths
    y = [rates[sample].copy() for rates in trial.activity.rates]
    target = trial.target[sample]
    weights, biases, depth = network.weights, network.biases, network.depth
    for _ in range(round(time / step)):
        drives = [None]
        for layer in range(1, depth + 1):
            w = weights[layer - 1]
            drives.append(w @ y[layer - 1][: w.shape[1]] + biases[layer - 1])
        new = [y[0]]
        for layer in range(1, depth + 1):
            own, n = _f(drives[layer]), network.n_projecting(layer)
            change = own - y[layer]
            if layer == depth:
                received = target[:n]
            else:
                h = drives[layer + 1]
                slope = np.where(h > 0, 1.0, A)
                sent = _f(h) + slope**2 * (y[layer + 1] - _f(h))
                received = np.linalg.solve(weights[layer], _inverse(sent) - biases[layer])
            change[:n] += gamma[layer - 1] * (received - own[:n])
            new.append(y[layer] + step * change)
        y = new
    return y


def test_euler_steps_come_to_the_sliding_state_as_they_shrink():
    """They chatter about the kink, by as much as a step is long: a tenth of the step, a tenth of
    the distance; and no other state is that near.
    """
    cases = _some_sliding(3, widths=(3, 3, 3, 3))
    assert len(cases) == 3
    for record, sample in cases:
        distances = []
        for step in (0.1, 0.01):
            rates = _euler(record, sample, step, 60)
            ends = [record.activities[layer - 1][sample] for layer in range(1, len(rates))]
            size = np.linalg.norm(record.shifts.absolute(1)[sample])
            distances.append(np.linalg.norm(rates[1] - ends[0]) / size)
        assert distances[1] < 0.05
        assert distances[1] < 0.25 * distances[0]


def test_smoothed_kinks_come_to_the_sliding_state_as_they_sharpen():
    """f' = a + (1 - a) sigmoid(h / w), with an equilibrium for every w > 0: its drive goes to the
    kink, its slope to that of the sliding unit, in proportion to w.
    """
    gamma, drive, error = 0.2, 0.1, -1.5
    r = gamma / (1 - gamma)
    record = settle(_chain(drive, error, gamma))
    wanted = record.sliding_slopes[1][0, 0]
    assert A < wanted < 1
    errors = []
    for width in (1e-3, 1e-4, 1e-5):

        def f(h, w=width):
            return A * h + (1 - A) * w * np.logaddexp(0, h / w)

        def slope(h, w=width):
            return A + (1 - A) * 0.5 * (1 + np.tanh(0.5 * h / w))

        def gap(u, f=f, slope=slope):
            sent = f(u) + slope(u) ** 2 * gamma * (error - (f(u) - f(drive)))
            back = scipy.optimize.brentq(lambda x: f(x) - sent, -1e3, 1e3, xtol=1e-15)
            return drive + r * (back - u) - u

        u = scipy.optimize.brentq(gap, -1, 1, xtol=1e-16)
        shift = u - drive
        errors.append(abs(shift / record.shifts.absolute(1)[0, 0] - 1))
        assert slope(u) == pytest.approx(wanted, rel=30 * width)
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.2)
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.2)


# --- against exact roots ---


def _hold_against_exact_roots(seeds):
    """Settle small random circuits; returns how many (images that slid, converged, in all)."""
    slid = converged = total = 0
    for seed in seeds:
        rng = np.random.default_rng([13, seed])
        pathway = ("gait", "gait", "itp")[seed % 3]
        init = ("orthogonal", "gaussian")[seed // 3 % 2]
        gamma = float(rng.uniform(0.005, 0.13 if seed % 2 else 0.3))
        options = {"widths": (4, 3, 3, 2), "init": init, "batch": 1, "error": 1.5}
        trial = make_trial(rng, pathway, "leaky_relu", gamma, **options)
        record = settle(trial, must_converge=False)
        total += 1
        if not record.converged:
            # with orthogonal W one exists, and every unit's own equation has but one solution
            certain = init == "orthogonal" and gamma < A
            assert not (pathway == "gait" and certain), f"seed {seed}: {record.failure()}"
            continue
        converged += 1
        slopes = [slope[0] for slope in record.sliding_slopes]
        slid += any(slope.any() for slope in slopes)
        exact = ExactRoot(trial, record.shifts, slopes)
        assert exact.consistent, f"seed {seed}: no equilibrium near what is called one"
        for layer, bound in enumerate(record.error_bounds, 1):
            n = trial.network.n_projecting(layer)
            distance = exact.distance(layer, n)
            assert distance <= bound, f"seed {seed}, layer {layer}"
            assert distance < 1e-6, f"seed {seed}, layer {layer}"
        _hold_update_bounds(trial, record, exact, seed)
    return slid, converged, total


def _hold_update_bounds(trial, record, exact, seed):
    """The update of the exact root is as near to its rule's as the verdict's bound says."""
    name = trial.circuit.pathway.name
    error = trial.error[:, : trial.network.n_outputs]
    rule = RULES[name](trial.network, trial.activity, error, trial.circuit.strengths)
    kinks = record.sliding_slopes
    apart = deviations(trial, record.shifts, rule, "shift", 10 * record.tolerance, kinks)
    changes = updates(trial.network, trial.activity, rule)
    truth = updates(trial.network, trial.activity, record.shifts.with_values(exact.values()))
    for layer in range(1, trial.network.depth + 1):
        bound = update_bound(trial, changes[layer - 1], layer, apart[layer - 1])
        found = agreement(truth[layer - 1].weights, changes[layer - 1].weights)
        assert not found.relative_error > bound, f"seed {seed}, layer {layer}"


def test_some_circuits_against_exact_roots():
    slid, converged, total = _hold_against_exact_roots(range(60))
    assert slid >= 2
    assert converged > 0.9 * total


@pytest.mark.slow
def test_2000_circuits_against_exact_roots():
    """No violated bound, no false status; some dozens of them slide."""
    slid, converged, total = _hold_against_exact_roots(range(2000))
    assert total == 2000
    assert slid >= 50
    assert converged > 0.9 * total


def test_the_shortcut_of_the_ruler_overlooks_no_unit_at_its_kink():
    """States around settled ones: where it says that no unit can be at its kink, none is."""
    looked, skipped, rng = 0, 0, np.random.default_rng(5)
    for record, _ in _some_sliding(20):
        trial = record.trial
        for spread in (0, 1e-6, 1e-3, 1):
            shifts = record.shifts.with_values(
                tuple(
                    v + spread * np.abs(v).max() * rng.normal(size=v.shape)
                    for v in record.shifts.values
                )
            )
            for layer, terms in enumerate(layer_terms(trial, shifts, push_demands=True), 1):
                if layer == 1:
                    continue
                weight = trial.circuit.strength(layer - 1) * scale_ratio(shifts, layer, layer - 1)
                there, _, _ = balanced_messages(trial, shifts, layer, terms)
                residual = terms.demand_drive - weight * terms.message
                near = near_a_kink(trial, shifts, layer, terms, residual)
                assert near or not there.any()
                looked, skipped = looked + bool(there.any()), skipped + (not near)
    assert looked > 20
    assert skipped > 20

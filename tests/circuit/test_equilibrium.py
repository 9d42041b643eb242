"""The front door: every method on every problem, judged by the printed equations in mpmath."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
from mpmath import mp

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import default_tolerance, settle
from circuit.errors import CircuitError, NotSettled
from circuit.feedback import closed_form_gain
from circuit.initialisation.networks import initialise
from circuit.methods import METHODS as ALL
from circuit.network import Network
from circuit.units.leaky_relu import leaky_relu
from circuit.verification.judgement import Status
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial

METHODS = tuple(name for name in ALL if name != "brian2")  # which has tests of its own


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh", "tanh"])
def test_settled_means_at_rest_in_the_printed_equations(unit, pathway, method):
    """tau dy/dt of the literal equations, in mpmath, is below the tolerance of every layer's shift.

    With auxiliary units in a hidden layer and at the output, biases, and own time constants.
    """
    rng = np.random.default_rng(3)
    trial = make_trial(rng, pathway, unit, (0.03, 0.02, 0.05), time_constant=(0.01, 0.02, 0.015))
    record = settle(trial, method)
    with mp.workdps(digits(record.shifts)):
        for sample in range(2):
            literal = LiteralCircuit(trial, sample)
            residuals = literal.relative_residuals(literal.rates(record.shifts, sample))
            # the forward pass in floats is off by rounding, hence a little more than asked for
            assert max(residuals) < 3 * record.tolerance
    assert max(record.relative_residuals) <= record.tolerance


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("gamma", "depth"), [(0.3, 5), (0.01, 5), (0.01, 20), (1e-6, 50)])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu"])
def test_closed_form_of_the_itp_circuit(unit, gamma, depth, dtype):
    """delta_l = c_l (D_{l+1}^-1 ... D_L^-1) e (docs/derivation.md, section 3), to rounding.

    The direction by explicit solves with the forward pass's slopes; the error is so small that no
    unit crosses its kink.
    """
    rng = np.random.default_rng(1)
    size = 0.5 if unit == "linear" else 1e-3
    options = {"widths": (6,) * (depth + 1), "n_outputs": 6, "error": size, "dtype": dtype}
    trial = make_trial(rng, "itp", unit, gamma, **options)
    record = settle(trial, "direct")  # and no second method, as by default
    eps = np.finfo(dtype).eps
    for sample in range(2):
        direction = trial.error[sample].astype(float)
        for layer in range(depth, 0, -1):
            gain = record.shifts.gains[layer - 1]
            found = record.shifts.per_gain(layer)[sample].astype(float)
            gap = np.linalg.norm(found - direction) / np.linalg.norm(direction)
            assert gap < 100 * eps * (depth + 1)
            exact = closed_form_gain(gamma, layer, depth)
            if exact > 0:
                assert np.exp(np.log(10) * gain.log10 - np.log(exact)) == pytest.approx(1, 1e-11)
            slope = trial.activity.slope(layer)[sample].astype(float)
            weights = trial.network.weights[layer - 1].astype(float)
            direction = np.linalg.solve(weights, direction / slope)


def test_closed_form_with_unequal_feedback():
    """The tridiagonal recursion of section 3 by a dense solve, against the settled sizes."""
    rng = np.random.default_rng(2)
    gammas = (0.1, 0.4, 0.02, 0.2)
    trial = make_trial(rng, "itp", "linear", gammas, widths=(5,) * 5, n_outputs=5)
    record = settle(trial, "direct", tolerance=1e-13)
    matrix, right = np.eye(4), np.zeros(4)
    for i, gamma in enumerate(gammas):
        if i:
            matrix[i, i - 1] = -(1 - gamma)
        if i < 3:
            matrix[i, i + 1] = -gamma
    right[3] = gammas[3]
    gains = np.linalg.solve(matrix, right)
    direction = trial.error[0]
    for layer in range(4, 0, -1):
        found = record.shifts.absolute(layer)[0]
        np.testing.assert_allclose(found, gains[layer - 1] * direction, rtol=1e-10)
        direction = np.linalg.solve(trial.network.weights[layer - 1], direction)


def test_auxiliary_units_do_not_shift_in_the_itp_circuit():
    """In a linear piece, with auxiliary units at every layer and at the output."""
    rng = np.random.default_rng(4)
    trial = make_trial(rng, "itp", "linear", 0.2, widths=(7, 6, 5, 3), n_outputs=2)
    record = settle(trial)
    for layer in (1, 2, 3):
        n = trial.network.n_projecting(layer)
        value = record.shifts.values[layer - 1]
        assert np.abs(value[:, n:]).max(initial=0) < 1e-12 * np.abs(value).max()


@pytest.mark.parametrize("gamma", [0.3, 0.03])
def test_mismatch_is_back_propagation_at_the_equilibrium_state(gamma):
    """m_l = gamma/(1-gamma) W^T A m_{l+1} with orthogonal W and the equilibrium's own slopes.

    Smooth units have the recursion only to first order in the mismatch; linear ones exactly; here
    leaky-ReLU in a linear piece, by a loop over units.
    """
    rng = np.random.default_rng(5)
    trial = make_trial(rng, "gait", "leaky_relu", gamma, widths=(5,) * 5, n_outputs=3, error=1e-3)
    record = settle(trial, tolerance=1e-13)
    for layer in range(3, 0, -1):
        weights = trial.network.weights[layer]
        drive = record.activities[layer - 1] @ weights.T + trial.network.biases[layer]
        slope = np.where(drive > 0, 1.0, 0.1)
        above, here = record.mismatches.absolute(layer + 1), record.mismatches.absolute(layer)
        for sample in range(2):
            for i in range(5):
                sent = sum(weights[j, i] * slope[sample, j] * above[sample, j] for j in range(5))
                scale = np.linalg.norm(here[sample])
                assert abs(here[sample, i] - gamma / (1 - gamma) * sent) < 1e-10 * scale


@pytest.mark.parametrize(("gamma", "depth"), [(0.5, 5), (0.5, 10), (0.5, 30), (0.3, 20)])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_gait_circuit_of_linear_units_at_strong_feedback(init, gamma, depth):
    """delta_l = c_l W_{l+1}^-1 ... W_L^-1 e: where A = 1 both pathways are one circuit."""
    options = {"widths": (6,) * (depth + 1), "n_outputs": 6, "init": init}
    trial = make_trial(np.random.default_rng(5), "gait", "linear", gamma, **options)
    record = settle(trial)
    assert record.shifts.gains == trial.circuit.gains  # those of the circuit that was asked for
    direction = trial.error
    for layer in range(depth, 0, -1):
        shift, wanted = record.shifts.absolute(layer), direction * layer / (depth + 1)
        if gamma != 0.5:
            wanted = closed_form_gain(gamma, layer, depth) * direction
        away = np.linalg.norm(shift - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)
        assert np.all(away < 1e-9), layer
        direction = np.linalg.solve(trial.network.weights[layer - 1], direction.T).T


def test_itp_and_gait_circuits_share_their_direction_in_a_linear_network():
    """Both pathways' read-outs point where the algorithms do: mismatch (GAIT), shift (ITP)."""
    trials = [
        make_trial(np.random.default_rng(6), pathway, "linear", 0.1, widths=(5,) * 4, n_outputs=5)
        for pathway in ("itp", "gait")
    ]
    itp, gait = (settle(trial, tolerance=1e-13) for trial in trials)
    # eliminate the output's own feed-forward change, which differs: compare layer by layer
    for layer in range(1, 3):
        weights = trials[0].network.weights[layer]
        for record, values in ((itp, itp.shifts), (gait, gait.mismatches)):
            above, here = values.per_gain(layer + 1)[0], values.per_gain(layer)[0]
            np.testing.assert_allclose(weights @ here, above, rtol=1e-9)
            assert record.converged


def test_a_unit_that_crosses_its_kink():
    """One unit a layer, solved by brentq: the nudge pushes the output unit through zero."""
    unit, gamma = leaky_relu(), 0.2
    one = np.ones((1, 1))
    network = Network((one, one), (np.zeros(1), np.array([-1.0])), (unit, unit), 1, 1)
    inputs, target = np.array([[1.01]]), np.array([[-5.0]])
    trial = begin(build_circuit(network, "itp", gamma), inputs, target)
    record = settle(trial, tolerance=1e-13)

    def f(h):
        return h if h > 0 else 0.1 * h

    def f_inverse(y):
        return y if y > 0 else 10 * y

    def output(first):
        return (1 - gamma) * f(first - 1.0) + gamma * target[0, 0]

    def first_at_rest(first):
        return (1 - gamma) * 1.01 + gamma * (f_inverse(output(first)) + 1.0) - first

    first = scipy.optimize.brentq(first_at_rest, -20, 3, xtol=1e-14)
    assert output(first) < 0 < f(0.01)  # it did cross
    assert record.activities[0][0, 0] == pytest.approx(first, rel=1e-10)
    assert record.activities[1][0, 0] == pytest.approx(output(first), rel=1e-10)


def _one_unit_chain(drive, error, gamma=0.4):
    """Two layers of one unit: the output's drive in the forward pass, and its error."""
    one = np.ones((1, 1))
    unit = leaky_relu()
    network = Network((one, one), (np.zeros(1), np.array([drive - 1.0])), (unit, unit), 1, 1)
    output = drive if drive > 0 else 0.1 * drive
    circuit = build_circuit(network, "gait", gamma)
    return begin(circuit, np.array([[1.0]]), np.array([[output + error]]))


# (drive, gamma) with r a |m| < h < r |m| / a, and below the cap (1 + r) |m|: within the interval
# r a |m| < h < r |m| that this test was once about, above it, and at strong feedback
@pytest.mark.parametrize(
    ("drive", "gamma"), [(0.003, 0.05), (0.02, 0.05), (0.03, 0.05), (0.2, 0.4)]
)
@pytest.mark.parametrize("method", METHODS)
def test_where_there_is_no_equilibrium_none_is_reported(method, drive, gamma):
    """The gap at the kink (docs/derivation.md, section 4), h > 0 and m < 0: no slope fits, and what
    is reported, if anything, is the state at the kink.
    """
    trial, r = _one_unit_chain(drive, -1.5, gamma), gamma / (1 - gamma)

    def f(h):
        return np.where(h > 0, h, 0.1 * h)

    def gap(u):  # u = h + r v at a rest point, v = f^-1(f(u) + A^2 m) - u, m the nudge's
        m = gamma * (-1.5 - (f(u) - drive))
        sent = f(u) + np.where(u > 0, 1.0, 0.01) * m
        return drive + r * (np.where(sent > 0, sent, 10 * sent) - u) - u

    for side in (1, -1):  # from just beside the kink on it keeps its sign: no rest point
        values = gap(side * np.geomspace(1e-9, 10, 2000))
        assert np.all(values < 0) if side > 0 else np.all(values > 0)
    # integration with error control takes ever shorter steps along a kink
    options = {"ode": {"max_steps": 3, "rtol": 1e-3}, "sweep": {"max_steps": 60}}.get(method, {})
    record = settle(trial, method, must_converge=False, **options)
    assert record.converged or method != "direct"
    if record.converged:
        assert record.shifts.absolute(1)[0, 0] == pytest.approx(-drive, rel=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_the_mirrored_interval_has_two_equilibria(method):
    """h < 0, m > 0, r a^2 m < |h| < r m: either slope is right if it is assumed. One is found."""
    trial = _one_unit_chain(-0.2, 1.5)
    r, roots = 0.4 / 0.6, []
    for slope in (1.0, 0.1):
        # m = gamma (e - (f(h + k) - f(h))) with k = r s m, in the piece of that slope
        m = 0.4 * (1.5 - 0.02 + slope * 0.2) / (1 + 0.4 * slope * r * slope)
        assert (r * slope * m > 0.2) == (slope == 1)
        roots.append(r * slope * m)
    record = settle(trial, method)
    shift = float(record.shifts.absolute(1)[0, 0])
    assert min(abs(shift / root - 1) for root in roots) < 1e-8


def test_what_cannot_be_settled_is_given_up_soon():
    """Work, not time: of 20 samples some take few steps, and none of the rest takes 100. What is
    given up by `direct` has an equilibrium all the same, which the second method finds.
    """
    options = {"widths": (12,) * 6, "n_outputs": 10, "batch": 20}
    trial = make_trial(np.random.default_rng(12), "gait", "leaky_relu", 0.7, **options)
    record = settle(trial, "direct", must_converge=False)
    settled = sum(status is Status.CONVERGED for status in record.sample_status)
    assert 0 < settled < 20
    assert record.steps < 100
    assert settle(trial).method == "direct and newton"


def test_one_sample_without_equilibrium_does_not_spoil_the_others():
    """A sweep never stays at a kink, which is where the one sample would have to rest."""
    bad, good = _one_unit_chain(0.2, -1.5), _one_unit_chain(0.2, 0.5)
    both = begin(bad.circuit, np.array([[1.0], [1.0]]), np.concatenate([bad.target, good.target]))
    record = settle(both, "sweep", max_steps=100, must_converge=False)
    assert record.sample_status[1] is Status.CONVERGED
    assert record.sample_status[0] is not Status.CONVERGED
    alone = settle(good)
    assert record.shifts.absolute(1)[1] == pytest.approx(alone.shifts.absolute(1)[0], rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("read", [8, 4])
def test_first_weights_need_no_inverse(read, pathway, method):
    """More inputs than units, or W_1 of rank 1. A layer of unit weights that is given W_1 x has the
    same drives, and so the same equilibrium.
    """
    rng = np.random.default_rng(4)
    first = rng.standard_normal((4, read)) if read > 4 else np.outer(rng.random(4), rng.random(4))
    upper = initialise((4, 4, 4), rng, activation="asinh")
    weights, inputs = (first, *upper.weights), rng.random((3, read))
    network = Network(weights, (np.zeros(4), *upper.biases), (upper.activations[0],) * 3, read, 4)
    plain = replace(network, weights=(np.eye(4), *upper.weights), n_inputs=4)
    targets, records = rng.random((3, 4)), []
    for one, given in ((network, inputs), (plain, inputs @ first.T)):
        trial = begin(build_circuit(one, pathway, 0.1), given, targets)
        records.append(settle(trial, method))
        assert max(records[-1].error_bounds) < 1e-7
    for layer in (1, 2, 3):
        one, other = (record.shifts.absolute(layer) for record in records)
        np.testing.assert_allclose(one, other, atol=1e-8 * np.abs(other).max())


# --- statuses ---


def test_failure_raises_and_carries_the_record():
    trial = make_trial(np.random.default_rng(7), "gait", "asinh", 0.2)
    with pytest.raises(
        NotSettled, match=r"sweep: ran out of budget .* layer \d .* residual"
    ) as info:
        settle(trial, "sweep", max_steps=2)
    assert "\n" not in str(info.value)
    assert info.value.record.status is Status.OUT_OF_BUDGET
    assert info.value.record.steps == 2
    assert settle(trial, "sweep", max_steps=2, must_converge=False).status is Status.OUT_OF_BUDGET


def test_what_may_help_is_another_method_than_the_one_that_failed():
    trial = make_trial(np.random.default_rng(7), "gait", "asinh", 0.2)
    for method, others in (("sweep", "direct or newton"), ("direct", "newton")):
        record = settle(trial, method, max_steps=1, must_converge=False)
        assert record.status is Status.OUT_OF_BUDGET
        assert record.failure().endswith(f"allow more steps, or use method {others}")


def test_divergence_is_called_so():
    """Gauss-Seidel diverges at strong feedback through ill-conditioned weights."""
    rng = np.random.default_rng(8)
    trial = make_trial(rng, "itp", "asinh", 0.6, widths=(6,) * 6, n_outputs=6, init="gaussian")
    statuses = {settle(trial, "sweep", must_converge=False, max_steps=400).status}
    assert statuses <= {Status.DIVERGED, Status.NOT_FINITE}


def test_what_rounding_hides_is_not_resolvable():
    """float32 and ill-conditioned weights cannot reach 1e-12, and say so instead of trying on."""
    rng = np.random.default_rng(9)
    options = {"widths": (12,) * 4, "n_outputs": 12, "init": "gaussian", "dtype": "float32"}
    trial = make_trial(rng, "gait", "leaky_relu", 0.01, **options)
    record = settle(trial, tolerance=1e-12, must_converge=False)
    assert record.status is Status.NOT_RESOLVABLE
    assert record.steps < 20


def test_a_state_that_is_not_finite_is_called_so(monkeypatch):
    from circuit.methods import sweep

    def spoilt(trial, progress, judgement):
        state = sweep.sweep(trial, progress, judgement)
        values = tuple(np.full_like(value, np.nan) for value in state.shifts.values)
        return sweep.Progress(state.shifts.with_values(values), 1)

    method = sweep.Method("sweep", sweep.start, spoilt)
    monkeypatch.setattr(sweep, "METHOD", method)
    trial = make_trial(np.random.default_rng(10))
    assert settle(trial, "sweep", must_converge=False).status is Status.NOT_FINITE


def test_no_error_no_shift():
    trial = make_trial(np.random.default_rng(11), error=0.5)
    still = begin(trial.circuit, trial.activity.rates[0], trial.activity.rates[-1][:, :2])
    for method in METHODS:
        record = settle(still, method)
        assert record.converged
        assert all(np.all(values == 0) for values in record.shifts.values)


@pytest.mark.parametrize("method", METHODS)
def test_one_layer_one_image(method):
    """L = 1: y = (1-gamma) f(h) + gamma t, by hand."""
    rng = np.random.default_rng(12)
    trial = make_trial(rng, "gait", "asinh", 0.25, widths=(3, 3), n_outputs=3, batch=1)
    record = settle(trial, method)
    np.testing.assert_allclose(record.shifts.absolute(1), 0.25 * trial.error, rtol=1e-9)


def test_tolerance_is_kept_and_follows_the_precision():
    trial = make_trial(np.random.default_rng(13), "gait", "asinh", 0.2)
    for tolerance in (1e-3, 1e-7, 1e-13):
        record = settle(trial, tolerance=tolerance)
        assert max(record.relative_residuals) <= tolerance == record.tolerance
    assert default_tolerance(trial.error) < 1.01e-10
    assert 1e-5 < default_tolerance(trial.error.astype("float32")) < 1e-4


def test_unknown_method_and_wrong_arrays():
    strict = pytest.importorskip("array_api_strict")
    trial = make_trial(np.random.default_rng(14))
    with pytest.raises(CircuitError, match="euler.*direct"):
        settle(trial, "euler")
    with pytest.raises(CircuitError, match="max_steps 0"):
        settle(trial, max_steps=0)
    for tolerance in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(CircuitError, match="is not positive and below 1"):
            settle(trial, tolerance=tolerance)
    nobody = begin(trial.circuit, trial.activity.rates[0][:0], trial.target[:0, :2])
    for method in METHODS:
        with pytest.raises(CircuitError, match="holds no samples"):
            settle(nobody, method)
    converted = _converted(trial, strict.asarray)
    with pytest.raises(CircuitError, match="newton needs NumPy"):
        settle(converted, "newton")


# --- other array libraries, stacks ---


def _converted(trial, asarray):
    network = trial.network
    other = Network(
        tuple(asarray(weights) for weights in network.weights),
        tuple(asarray(bias) for bias in network.biases),
        network.activations,
        network.n_inputs,
        network.n_outputs,
    )
    circuit = build_circuit(other, trial.circuit.pathway.name, trial.circuit.strengths)
    inputs = asarray(trial.activity.rates[0])
    return begin(circuit, inputs, asarray(trial.target[:, : network.n_outputs]))


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
@pytest.mark.parametrize("method", ["direct", "sweep"])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("unit", ["leaky_relu", "asinh"])
def test_other_array_libraries_give_the_same(unit, pathway, method, library):
    asarray = pytest.importorskip(library).asarray
    trial = make_trial(np.random.default_rng(15), pathway, unit, 0.05, batch=6, error=2.0)
    one, other = settle(trial, method), settle(_converted(trial, asarray), method)
    assert other.converged
    for layer in range(1, 4):
        found = other.shifts.values[layer - 1]
        assert type(found) is type(asarray(trial.error))
        gap = np.asarray(found) - one.shifts.values[layer - 1]
        assert np.linalg.norm(gap) < 1e-8 * np.linalg.norm(one.shifts.values[layer - 1])


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_a_stack_of_networks_settles_as_they_do_one_by_one(pathway):
    rng = np.random.default_rng(16)
    singles = [initialise((5, 5, 4), rng, n_outputs=3) for _ in range(3)]
    inputs, targets = rng.random((3, 4, 5)), rng.random((3, 4, 3))
    stack = Network(
        tuple(np.stack([net.weights[i] for net in singles]) for i in range(2)),
        tuple(np.stack([net.biases[i] for net in singles]) for i in range(2)),
        singles[0].activations,
        5,
        3,
    )
    together = settle(begin(build_circuit(stack, pathway, 0.02), inputs, targets))
    for i, network in enumerate(singles):
        alone = settle(begin(build_circuit(network, pathway, 0.02), inputs[i], targets[i]))
        for layer in (1, 2):
            exact = alone.shifts.absolute(layer)
            gap = together.shifts.absolute(layer)[i] - exact
            assert np.linalg.norm(gap) < 1e-8 * np.linalg.norm(exact)


def test_orders_of_the_read_outs_in_gamma():
    """|read-out / gain - GAIT-prop| falls as gamma for the shift above layer 1, as gamma squared
    there and for every mismatch: slopes of the logarithms.
    """
    gammas, errors = 10.0 ** -np.arange(1, 5), []
    for gamma in gammas:
        rng = np.random.default_rng(17)
        trial = make_trial(rng, "gait", "linear", gamma, widths=(5,) * 4, n_outputs=5)
        record = settle(trial, tolerance=1e-12)
        exact = [trial.error]  # GAIT-prop: W^T e and so on, W orthogonal
        for weights in trial.network.weights[:0:-1]:
            exact.insert(0, exact[0] @ weights)
        errors.append(
            [
                [np.linalg.norm(found.per_gain(layer) - wanted) / np.linalg.norm(wanted)
                 for layer, wanted in enumerate(exact, 1)]
                for found in (record.shifts, record.mismatches)
            ]
        )  # fmt: skip
    flat = np.log(errors).reshape(len(gammas), -1)
    slopes = np.polyfit(np.log(gammas), flat, 1)[0]
    np.testing.assert_allclose(slopes, [2, 1, 1, 2, 2, 2], atol=0.05)

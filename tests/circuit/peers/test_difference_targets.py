"""Difference target propagation: targets written down literally, exact inverses, tiny nudges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

from circuit.errors import CircuitError, TargetOutOfRange
from circuit.feedback import output_only
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.inverse_model import exact_model
from circuit.learned_inverse.model import BIASES, WEIGHTS
from circuit.losses import output_error
from circuit.network import forward
from circuit.peers import ddtp, dtp, ldrl
from circuit.peers.dfa import DIRECT
from circuit.rules import RULES
from models.run_training import main
from tests.circuit.peers.feedback_tasks import KEY, cosine, signal_of, stacked, task
from tests.commands import refusal
from tests.literal_units import LITERAL, exactly

FORMS = {  # what stands for g_l, and the settings that choose it
    "below": (dtp.RULE, {}),
    "linear": (dtp.RULE, {"loss": "drl"}),
    "inverse": (dtp.RULE, {"loss": "drl", "unit": "inverse"}),
    "above": (dtp.RULE, {"loss": "drl", "unit": "above"}),
    "above of ldrl": (ldrl.RULE, {}),
    "linear of ldrl": (ldrl.RULE, {"unit": "linear"}),
}


def random_feedback(network, dtype="float64"):
    """B_2 .. B_L of half the usual size and c, so that targets stay where tanh has an inverse."""
    rng = np.random.default_rng(8)
    shapes = [W.T.shape for W in network.weights[1:]]
    B = tuple((rng.standard_normal(shape) / 5).astype(dtype) for shape in shapes)
    c = tuple((rng.standard_normal(shape[0]) / 5).astype(dtype) for shape in shapes)
    return {WEIGHTS: B, BIASES: c}


def literal_targets(network, beside, form, activity, error, eta):
    """t_1 - y_1 .. t_L - y_L of one image in mpmath, from targets that are rates, unit by unit."""
    with mp.workdps(60):
        units = [LITERAL[unit.name] for unit in network.activations]
        y = exactly(activity.rates[0])
        rates = [y]
        for W, b, unit in zip(network.weights, network.biases, units, strict=True):
            sums = [sum(w * x for w, x in zip(row, y, strict=True)) for row in exactly(W)]
            y = [unit.value(s + mpf(float(o))) for s, o in zip(sums, b, strict=True)]
            rates.append(y)

        def g(layer, t):
            B, c = exactly(beside[WEIGHTS][layer - 2]), exactly(beside[BIASES][layer - 2])
            here, below = units[layer - 1], units[layer - 2]
            if form.startswith("above"):
                t = [here.value(one) for one in t]
            if form == "inverse":
                t = [here.inverse(one) for one in t]
            sums = [sum(b * x for b, x in zip(row, t, strict=True)) for row in B]
            if form != "below":
                return sums
            return [below.value(s + o) for s, o in zip(sums, c, strict=True)]

        L = network.depth
        told = [*exactly(error), *[mpf(0)] * (network.widths[L] - len(error))]
        targets = {L: [a + mpf(eta) * b for a, b in zip(rates[L], told, strict=True)]}
        for layer in range(L, 1, -1):
            there, here = g(layer, targets[layer]), g(layer, rates[layer])
            moved = zip(rates[layer - 1], there, here, strict=True)
            targets[layer - 1] = [a + b - c for a, b, c in moved]
        return [
            np.array([float((t - a) / mpf(eta)) for t, a in
                      zip(targets[k], rates[k], strict=True)])
            for k in range(1, L + 1)
        ]  # fmt: skip


def worst(found, wanted) -> float:
    """Largest error over the largest entry, over layers."""
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("eta", [0.3, 1e-6])
@pytest.mark.parametrize("form", FORMS)
def test_shifts_are_those_of_targets_written_down_in_sixty_digits(form: str, eta: float) -> None:
    """Rectangles of four kinds of units. At eta = 1e-6 too, where a difference of two rates has
    lost six digits of sixteen, or in float32 all of them.
    """
    rule, options = FORMS[form]
    settings = rule.settings(**options, nudge=eta)
    for dtype, lost in (("float64", 1e-13), ("float32", 1e-4)):
        given = network, activity, targets = task(batch=2, dtype=dtype)
        beside = random_feedback(network, dtype)
        found = signal_of(rule, given, beside, settings).shifts
        error = output_error(network, activity, targets)
        for image in range(2):
            one = forward(network, activity.rates[0][image : image + 1])
            one = replace(one, rates=tuple(rates[0] for rates in one.rates))
            wanted = literal_targets(network, beside, form, one, error[image], eta)
            assert worst([found.per_gain(k)[image] for k in range(1, 5)], wanted) < lost
        assert found.values[0].dtype == dtype


@pytest.mark.parametrize("eta", [0.2, 1e-6])
def test_with_the_exact_inverse_it_is_target_propagation_with_an_increment_at_the_output(
    eta: float,
) -> None:
    """delta_{l-1} = W^-1 [f^-1(y + delta) - f^-1(y)]: ITP with gamma = eta at the output, 1 below.
    In linear networks Lee's feedback too, but not where it ends in a curved unit.
    """
    curved = task((8, 7, 5, 5, 4), ("asinh", "leaky_relu", "asinh", "asinh"), auxiliary=True)
    straight = task((8, 7, 5, 5, 4), "linear", auxiliary=True, n_outputs=3)
    for given, options, same in (
        (curved, FORMS["inverse"][1], True),
        (straight, {}, True),
        (curved, {}, False),
    ):
        network, activity, targets = given
        model = exact_model(network)
        beside = {WEIGHTS: model.weights, BIASES: model.biases}
        settings = dtp.RULE.settings(**options, nudge=eta)
        found = signal_of(dtp.RULE, given, beside, settings).shifts
        error = output_error(network, activity, targets)
        wanted = RULES["itp"](network, activity, error, output_only(eta, network.depth))
        layers = range(1, network.depth + 1)
        miss = worst([found.per_gain(k) for k in layers], [wanted.per_gain(k) for k in layers])
        assert (miss < 1e-11) if same else (miss > 0.1)


def test_with_transposed_weights_it_is_back_propagation_where_units_are_leaky() -> None:
    """f'(f(h)) = f'(h): feedback through f has the Jacobian W^T A, without a kink in the way; the
    linear one has W^T, and it is not; nor is the other where nudges cross kinks.
    """
    given = network, activity, targets = task(units="leaky_relu")
    bp = RULES["bp"](network, activity, output_error(network, activity, targets))
    beside = {WEIGHTS: tuple(W.T for W in network.weights[1:])}
    layers = range(1, network.depth + 1)
    for unit, eta, same in (("above", 1e-6, True), ("linear", 1e-6, False), ("above", 1.0, False)):
        settings = ldrl.RULE.settings(unit=unit, nudge=eta)
        found = signal_of(ldrl.RULE, given, beside, settings).shifts
        miss = worst([found.per_gain(k) for k in layers], [bp.per_gain(k) for k in layers])
        assert (miss < 1e-12) if same else (miss > 0.05), (unit, eta)


def test_shifts_that_shrink_keep_their_digits_through_fifty_layers() -> None:
    """Each layer brings down a hundredth, in float32, from a nudge of 1e-6: 1e-104 in layer 1."""
    depth = 50
    network = initialise((6,) * (depth + 1), 0, activation="linear", dtype="float32")
    rng = np.random.default_rng(1)
    activity = forward(network, rng.standard_normal((4, 6)).astype("float32"))
    targets = np.eye(6, dtype="float32")[:4]
    beside = {WEIGHTS: tuple(0.01 * W.T for W in network.weights[1:])}
    settings = ldrl.RULE.settings(unit="linear", nudge=1e-6)
    shifts = signal_of(ldrl.RULE, (network, activity, targets), beside, settings).shifts
    error = output_error(network, activity, targets)
    size = np.log10(np.sqrt(np.mean(np.sum(error**2, axis=-1))))
    for layer in (1, 20, 50):
        wanted = size - 6 - 2 * (depth - layer)
        assert abs(shifts.norm(layer).log10 - wanted) < 1e-5
    bp = RULES["bp"](network, activity, error)
    assert cosine(shifts.values[0], bp.values[0]) > 1 - 1e-6


def test_direct_targets_are_the_weights_times_the_nudge() -> None:
    """t_l = y_l + Q_l (t_L - y_L), entry by entry, auxiliary units left where they are."""
    given = network, activity, targets = task((9, 8, 6, 6, 5), auxiliary=True, n_outputs=3)
    beside = ddtp.RULE.companions(network, ddtp.RULE.settings(), KEY)
    settings = ddtp.RULE.settings(nudge=0.05)
    found = signal_of(ddtp.RULE, given, beside, settings, "cross_entropy").shifts
    odds = np.exp(activity.rates[-1][:, :3])
    error = targets - odds / odds.sum(axis=1, keepdims=True)
    for layer in range(1, 4):
        Q, shift = beside[DIRECT][layer - 1], found.absolute(layer)
        assert Q.shape == (network.n_projecting(layer), 3)
        for image in range(9):
            for i in range(network.widths[layer]):
                wanted = (
                    0.05 * sum(Q[i, j] * error[image, j] for j in range(3)) if i < len(Q) else 0
                )
                assert shift[image, i] == pytest.approx(wanted, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(found.absolute(4)[:, :3], 0.05 * error, rtol=1e-12)


@pytest.mark.parametrize("rule", [dtp.RULE, ldrl.RULE, ddtp.RULE], ids=lambda rule: rule.name)
def test_a_network_of_one_layer_learns_from_its_own_error(rule) -> None:
    given = network, activity, targets = task((5, 4), "tanh")
    settings = rule.settings()
    beside = rule.companions(network, settings, KEY)
    beside = rule.practise(network, activity, beside, settings, 0)
    shifts = signal_of(rule, given, beside, settings).shifts
    np.testing.assert_allclose(shifts.per_gain(1), targets - activity.rates[1], rtol=1e-14)


def test_stacks_give_what_their_members_give() -> None:
    """In the shifts of every form."""
    single = [task(seed=seed) for seed in (1, 2)]
    both = stacked([net for net, _, _ in single])
    images = np.stack([activity.rates[0] for _, activity, _ in single])
    targets = np.stack([wanted for _, _, wanted in single])
    for rule, options in FORMS.values():
        settings = rule.settings(**options, nudge=0.01)
        each = [random_feedback(net) for net, _, _ in single]
        each[1] = {name: tuple(-one for one in arrays) for name, arrays in each[1].items()}
        together = {
            name: tuple(np.stack(pair) for pair in zip(*(one[name] for one in each), strict=True))
            for name in each[0]
        }
        found = signal_of(rule, (both, forward(both, images), targets), together, settings).shifts
        for place, (given, beside) in enumerate(zip(single, each, strict=True)):
            alone = signal_of(rule, given, beside, settings).shifts
            for layer in range(1, 5):
                np.testing.assert_allclose(
                    found.per_gain(layer)[place], alone.per_gain(layer), rtol=1e-11, atol=1e-14
                )


def test_targets_beyond_the_range_of_a_unit_are_refused_in_one_line() -> None:
    given = task(units="tanh")
    settings = dtp.RULE.settings(loss="drl", unit="inverse", nudge=50.0)
    with pytest.raises(TargetOutOfRange, match="weaker feedback") as refusal:
        signal_of(dtp.RULE, given, random_feedback(given[0]), settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("rule", "options", "named"),
    [
        (dtp.RULE, {"nudge": 0.0}, "dtp nudge 0 is not positive"),
        (dtp.RULE, {"loss": "ldrl"}, "dtp loss 'ldrl' is unknown"),
        (dtp.RULE, {"unit": "below"}, "dtp unit 'below' is unknown"),
        (dtp.RULE, {"decay": -1.0}, "dtp decay -1 is negative"),
        (ldrl.RULE, {"noise": -0.1}, "ldrl noise -0.1 is not positive"),
        (ldrl.RULE, {"rate": 2.0}, "ldrl rate 2 is outside"),
        (ldrl.RULE, {"unit": "inverse"}, "ldrl unit 'inverse' is unknown"),
        (ddtp.RULE, {"steps": 1.5}, "ddtp steps 1.5 is no count"),
        (ddtp.RULE, {"before": -1}, "ddtp before -1 is no count"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(rule, options, named) -> None:
    with pytest.raises(CircuitError, match=named) as refusal:
        rule.settings(**options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        ("--rule ldrl --ldrl-steps 0 --ldrl-noise 0.1", "ldrl-noise"),
        ("--rule ddtp --ddtp-steps 0 --ddtp-decay 0.1", "ddtp-decay"),
        ("--rule dtp --dtp-decay 0.1", "dtp-decay"),
        ("--rule dtp --dtp-unit above", "dtp-unit"),
        ("--rule fa --dtp-rate 0.1", "dtp-rate"),
    ],
)
def test_options_that_would_do_nothing_are_refused(words, idle, capsys) -> None:
    """Where feedback does not learn, learns otherwise, or is another rule's."""
    assert f"--{idle} would do nothing with --" in refusal(capsys, main, *words.split())

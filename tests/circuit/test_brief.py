"""What a session prints: a line for every record, never its arrays."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re

import numpy as np
import pytest

import circuit
from circuit import begin, build_circuit, initialise, leaky_relu, settle, tanh, updates
from circuit.learning import Lesson, begin_learning, learn
from circuit.records.brief import Brief, table, widths_of
from circuit.report import report


def settled(widths=(64, 64, 64, 10), batch=20, **options):
    rng = np.random.default_rng(3)
    network = initialise(widths, rng, **options)
    targets = np.eye(network.n_outputs)[rng.integers(0, network.n_outputs, batch)]
    trial = begin(build_circuit(network, "gait", 0.01), rng.random((batch, widths[0])), targets)
    return settle(trial)


RECORD = settled()


def test_a_network_says_its_widths_units_and_outputs():
    assert repr(RECORD.trial.network) == "Network(64-64-64-10, leaky_relu, 10 outputs)"
    mixed = initialise([7, 6, 5], np.random.default_rng(1), activation=["tanh", "linear"])
    assert repr(mixed) == "Network(7-6-5, tanh linear, 5 outputs)"
    single = initialise([7, 6, 5], np.random.default_rng(1), n_outputs=1, dtype="float32")
    assert repr(single) == "Network(7-6-5, leaky_relu, 1 output, float32)"


def test_a_record_says_what_became_of_it():
    words = r"Equilibrium\(converged, 20 images, worst residual \de-\d\d, bound \de-\d\d\)"
    assert re.fullmatch(words, repr(RECORD))
    assert f"bound {max(RECORD.error_bounds):.1g}" in repr(RECORD)
    assert f"worst residual {max(RECORD.relative_residuals):.1g}" in repr(RECORD)


def test_a_record_that_did_not_settle_claims_no_bound():
    record = settle(RECORD.trial, tolerance=1e-13, max_steps=1, must_converge=False, method="sweep")
    assert not record.converged
    bad = sum(status is not circuit.Status.CONVERGED for status in record.sample_status)
    assert repr(record).startswith(f"Equilibrium({record.status.value}, 20 images, worst residual")
    assert repr(record).endswith(f", {bad} not settled)")
    assert "bound" not in repr(record)


def test_circuit_trial_and_shifts_say_what_they_are_made_of():
    network = "64-64-64-10, leaky_relu, 10 outputs"
    made = f"gait pathway, gamma 0.01, tau 10 ms, {network}"
    assert repr(RECORD.trial.circuit) == f"Circuit({made})"
    assert repr(RECORD.trial) == f"Trial(20 images, {made})"
    sizes = [np.linalg.norm(RECORD.shifts.absolute(i)) / 20**0.5 for i in (1, 3)]
    assert repr(RECORD.shifts) == "Shifts(3 layers, 20 images, norms {:.1e} to {:.1e})".format(
        *sizes
    )
    several = build_circuit(RECORD.trial.network, "itp", [0.1, 0.2, 0.25], time_constant=0.0125)
    assert repr(several).startswith("Circuit(itp pathway, gamma 0.1 0.2 0.25, tau 12.5 ms, ")


def test_a_stack_says_how_many_networks():
    weights = [np.stack([w, w]) for w in RECORD.trial.network.weights]
    biases = [np.stack([b, b]) for b in RECORD.trial.network.biases]
    stack = circuit.Network(weights, biases, "leaky_relu", 64, 10)
    assert repr(stack) == "Network(2 networks, 64-64-64-10, leaky_relu, 10 outputs)"
    inputs = np.stack([RECORD.trial.activity.rates[0]] * 2)
    trial = begin(build_circuit(stack), inputs, np.zeros((2, 20, 10)))
    assert repr(trial).startswith("Trial(2 networks x 20 images, ")


def test_units_and_learners():
    assert repr(tanh()) == "Activation(tanh)"
    assert repr(leaky_relu(0.25)) == "Activation(leaky_relu of slope 0.25)"
    trial, network = RECORD.trial, RECORD.trial.network
    learner = begin_learning(network, Lesson())
    learner, step = learn(learner, Lesson(), trial.activity.rates[0], trial.target[..., :10])
    assert repr(learner) == "Learner(1 step, 64-64-64-10, leaky_relu, 10 outputs)"
    assert len(repr(step)) < 100
    assert repr(updates(network, trial.activity, RECORD.shifts)[2]) == "Update(W (10, 10), b (10,))"


def test_a_deep_network_fits_into_a_line():
    assert widths_of([64] * 101) == "64 x 101"
    assert widths_of([64, *[100] * 9, 10, 10]) == "64-100 x 9-10-10"
    assert widths_of(list(range(40, 0, -1))) == "40-39-38-37-...-3-2-1"
    assert len(repr(settled([8] * 41, 3, activation="linear"))) < 100


def test_brian2_objects_say_their_size():
    import brian2

    from circuit.brian import make_pieces

    few = RECORD.trial.samples([0, 1])
    pieces = make_pieces(few, name="brief")
    brian2.Network(*pieces.objects).run(0 * brian2.ms)  # so that none is said to be unused
    units, synapses = 2 * (64 * 3 + 10), 2 * (64 * 64 * 2 + 10 * 10 + 64 * 64 + 10 * 10)
    assert repr(pieces).startswith(
        f"Pieces(4 groups of {units} units, {synapses} synapses, step 1 ms, 2 images, gait pathway"
    )


def test_every_record_of_arrays_is_brief():
    """A dataclass that is not compared by its values holds arrays, and would print them."""
    for module in pkgutil.walk_packages(circuit.__path__, "circuit."):
        found = importlib.import_module(module.name)
        for kind in vars(found).values():
            record = isinstance(kind, type) and dataclasses.is_dataclass(kind)
            if record and kind.__eq__ is object.__eq__:
                assert issubclass(kind, Brief), kind
                assert kind.__repr__ is Brief.__repr__, kind


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        RECORD.trial,
        RECORD.trial.circuit,
        RECORD.trial.network,
        RECORD.shifts,
        RECORD.trial.activity,
        report(RECORD),
        begin_learning(RECORD.trial.network).moments,
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_notebook_shows_a_line_and_a_small_table(record):
    html = record._repr_html_()
    assert 20 < len(html) < 4000
    assert html.count("<tr>") == html.count("</tr>")
    assert len(repr(record)) < 300


def test_tables_escape_what_they_show():
    assert table([("a", "b"), (1, "<i>")]) == (
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>&lt;i&gt;</td></tr></table>"
    )
    assert table([]) == ""

"""The page docs/brian2.md: its blocks, run, and its table of variables, against the groups' own."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

from circuit.equilibrium import settle
from circuit.plasticity import updates
from tests.circuit.brian.conftest import DEPRECATED, TEXT, Page
from tests.circuit.brian.test_own_model import EPS, make_trial

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    import brian2

    from circuit import brian
    from circuit.brian.library import QuietGroup, QuietSynapses

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")


def test_documented_example(page: Page) -> None:
    names = page.names
    assert page.shapes[0] == (800, 2, 4)
    assert "dy/dt" in page.printed
    # the added neuron has opened the nudge to 0.05: the circuit is where the nudged phase ends
    expected = names["exact"].absolute(1)
    np.testing.assert_allclose(names["shift"], expected, rtol=0, atol=50 * EPS)
    assert len(names["monitor"].t) == 1000


def test_cells_that_excite_or_inhibit_settle_where_signed_weights_do(page: Page) -> None:
    """Shifts, and what synapses learn from them, by another method on the signed circuit; no
    weight is negative, about half of them were. The control: without inhibition neither holds."""
    trial, pieces, inhibitory = page.names["trial"], page.names["pieces"], page.names["inhibitory"]
    for synapses in (*pieces.feedforward, *pieces.feedback, *(axons for *_, axons in inhibitory)):
        weights = np.array(synapses.weight[:])
        assert weights.min() == 0
        assert 0.2 < (weights > 0).mean() < 0.8
    exact = settle(trial, tolerance=1e-13, must_converge=False).shifts
    for layer, found in enumerate(page.names["dale_shifts"], 1):
        np.testing.assert_allclose(found, exact.absolute(layer), rtol=0, atol=100 * EPS)
        assert np.abs(found).max() > 1e-4
    free = page.names["phases"][0]
    for found, rates in zip(free, trial.activity.rates[1:], strict=True):
        np.testing.assert_allclose(found, rates, rtol=0, atol=100 * EPS)
    changes = [
        updates(trial.network, trial.activity, exact.with_values(tuple(values)))
        for values in (
            exact.values,
            [v / s.value for v, s in zip(page.names["dale_shifts"], exact.scales, strict=True)],
        )
    ]
    for wanted, found in zip(*changes, strict=True):
        np.testing.assert_allclose(
            found.weights, wanted.weights, rtol=0, atol=1e-9 * np.abs(wanted.weights).max()
        )

    for *_, axons in inhibitory:
        axons.weight = 0
    network, phases = page.names["signed_by_cells"], []
    for nudged in (False, True):
        brian.set_nudge(pieces, nudged)
        network.run(0.3 * brian2.second, namespace={})
        phases.append(brian.read_rates(pieces))
    for layer, (before, after) in enumerate(zip(*phases, strict=True), 1):
        assert np.abs(before - trial.activity.rates[layer]).max() > 0.1
        wanted = exact.absolute(layer)
        if layer < trial.network.depth:
            assert np.abs(after - before - wanted).max() > 0.2 * np.abs(wanted).max()


def test_examples_of_the_page_do_what_they_say(page: Page) -> None:
    """The context moves layer 1; tired units answer less than they did at first."""
    assert np.abs(page.names["moved"]).max() > 0.05
    first, last = (np.abs(page.names["tired"].rates[0][at]).mean() for at in (15, 249))
    assert last < 0.9 * first
    assert len(page.names["onto"]) > 0
    assert np.array(page.names["onto"].target.current[:]).max() > 0


def described(pieces: Any) -> dict[tuple[str, str], tuple[str, str]]:
    """(piece, variable) -> kind and unit, of everything that pieces hold beside Brian2's own."""
    depth = len(pieces.layers) - 1
    bare = {
        "layers": set(QuietGroup(1, "x : 1").variables) - {"x"},
        "feedforward": set(QuietSynapses(QuietGroup(1, "x : 1")).variables),
    }
    bare["feedback"] = bare["feedforward"]
    found = {}
    for kind, groups in (
        ("layers", pieces.layers),
        ("feedforward", pieces.feedforward),
        ("feedback", pieces.feedback),
    ):
        for place, group in enumerate(groups):
            # synapses name what their target has as well
            own = {
                name
                for name, one in group.variables.items()
                if one.owner is not None and one.owner.name == group.name and name[0] != "_"
            }
            for name in own - bare[kind]:
                equation = getattr(group, "user_equations", group.equations)[name]
                words = [equation.type, *sorted(set(equation.flags) - {"constant over dt"})]
                unit = "s" if equation.dim == brian2.second.dim else "1"
                assert unit == "s" or equation.dim.is_dimensionless
                piece = (
                    kind if kind != "layers" else {0: "input", depth: "output"}.get(place, place)
                )
                found[str(piece), name] = (", ".join(words), unit)
    return found


def test_the_table_of_variables_is_that_of_the_groups(rng: np.random.Generator) -> None:
    """Row by row: which there are, in which circuit and layer, of which kind, in which unit."""
    rows = []
    (table,) = re.findall(r"^\| piece \| variable .*?\n\n", TEXT, flags=re.M | re.S)
    for line in table.strip().splitlines()[2:]:
        piece, name, what, kind, where = (cell.strip() for cell in line.strip("|").split(" | "))
        rows.append((piece.strip("` "), name.strip("`"), what, kind, where))
    assert len(rows) == 20
    cases = [
        ("gait", "leaky_relu", {}, 0.0),
        ("itp", "asinh", {}, 0.1),
        ("grait", "tanh", {}, 0.0),
        ("gait", "linear", {"feedback": "pseudo-inverse", "corrected": False}, 0.0),
    ]
    used = set()
    for pathway, activation, options, noise in cases:
        trial = make_trial(rng, (4, 4, 3, 3), activation, pathway, **options)
        found = described(brian.make_pieces(trial, noise=noise))
        expected = {}
        for row in rows:
            piece, name, what, kind, where = row
            for place in ("input", "1", "2", "output", "feedforward", "feedback"):
                if piece == "layers[0]":
                    here = place == "input"
                elif piece == "layers[l]":
                    here = place in ("1", "2", "output")
                else:
                    here = piece.startswith(place)
                terms = {
                    "always": True,
                    "l > 1": place != "1",
                    "l < L": place != "output",
                    "l = L": place == "output",
                    "GAIT and GRAIT pathway": pathway != "itp",
                    "GRAIT pathway": pathway == "grait",
                    "plain circuit": not options.get("corrected", True),
                    "leaky ReLU": activation == "leaky_relu",
                    "with `noise`": noise > 0,
                }
                if here and all(terms[term] for term in where.split(", ")):
                    unit = "s" if what.endswith(", s") else "1"
                    expected[place, name] = (kind, unit)
                    used.add(row)
        assert found == expected
    assert used == set(rows)

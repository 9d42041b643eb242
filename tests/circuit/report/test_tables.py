"""The report as text: it fits, and says what is known and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuit import CircuitError, begin, build_circuit, initialise, settle
from circuit.report import report, tables
from circuit.report.tables import text


def found(widths=(14, 12, 12, 9), gamma=0.05, pathway="gait", unit="asinh", **options):
    rng = np.random.default_rng(4)
    network = initialise(widths, rng, activation=unit, init="gaussian", n_outputs=4)
    trial = begin(
        build_circuit(network, pathway, gamma), rng.random((6, widths[0])), rng.random((6, 4))
    )
    return report(settle(trial, **options))


def row_of(table, layer):
    """The last row that begins with the layer's name: of the weight change."""
    rows = [line.split() for line in table.splitlines() if line.startswith(f"layer {layer} ")]
    return rows[-1][2:]


@pytest.mark.parametrize("pathway", ["gait", "itp", "grait"])
def test_every_line_fits_and_the_bound_stands_with_its_rule(pathway):
    one = found(pathway=pathway)
    brian2 = [(1.25e-7, 3.5e-9)] * 3
    lines = text(one).splitlines() + tables(one, brian2).splitlines()
    assert max(map(len, lines)) <= 100
    table = tables(one, brian2)
    assert f"against each rule's; {pathway.upper()}'s it is to carry" in table
    groups, headings = table.splitlines()[-5:-3]
    rules = [pathway, *(name for name in one.layers[0].updates if name != pathway)]
    assert groups.lower().split() == rules
    assert headings.split() == ["cosine", "error", "allowed", *["cosine", "error"] * 4]
    assert groups.index(pathway.upper()) + len(pathway) == headings.index("allowed") + 7
    for layer in one.layers:
        own, entries = layer.updates[pathway], row_of(table, layer.layer)
        assert float(entries[0]) == pytest.approx(own.cosine, abs=5e-7)
        assert float(entries[1]) == pytest.approx(own.relative_error, rel=0.05)
        assert float(entries[2].rstrip("*")) == pytest.approx(min(layer.bound, 0.5), rel=0.05)
        others = [entry for name, entry in layer.updates.items() if name != pathway]
        for place, other in enumerate(others):
            assert float(entries[3 + 2 * place]) == pytest.approx(other.cosine, abs=5e-5)


def test_the_width_is_kept_by_a_hundred_layers():
    deep = found((8,) * 101, 0.3, unit="linear", pathway="itp")
    assert len(deep.layers) == 100
    assert max(map(len, text(deep).splitlines())) <= 100


def test_what_is_capped_has_a_star_and_what_is_infinite_says_so():
    one = found()
    plain = tables(one)
    assert "*" not in plain
    first, *rest = one.layers
    for bound in (0.7, np.inf):
        capped = replace(one, layers=(replace(first, bound=bound), *rest))
        table = tables(capped)
        assert row_of(table, 1)[2] == "5.0e-01*"
        assert "* the bound itself is 0.5 or more, or infinite" in table
        assert "*" not in "".join(row_of(table, 2))
    boundless = replace(one, layers=(replace(first, error_bound=np.inf), *rest))
    (line,) = [line for line in tables(boundless).splitlines() if "infinite" in line]
    assert line.startswith("layer 1 ")


def test_a_circuit_that_did_not_settle_shows_its_residuals_alone():
    one = found(method="sweep", max_steps=1, tolerance=1e-13, must_converge=False)
    assert not one.record.converged
    table = tables(one)
    assert "Residual of every layer" in table
    for word in ("|shift|", "predicted", "cosine", "allowed", "bound"):
        assert word not in table
    for layer in one.layers:
        (entry,) = row_of(table, layer.layer)
        finite = np.isfinite(layer.relative_residual)
        assert not finite or float(entry) == pytest.approx(layer.relative_residual, rel=0.05)
        assert finite or entry == "infinite"
    assert " ".join(text(one).split()).endswith(one.verdict)
    assert max(map(len, text(one).splitlines())) <= 100


def test_a_rule_without_an_update_is_a_dash():
    one = found()
    layers = tuple(replace(one_, updates=one_.updates | {"tp": None}) for one_ in one.layers)
    place = 3 + 2 * [name for name in one.layers[0].updates if name != "gait"].index("tp")
    assert row_of(tables(replace(one, layers=layers)), 2)[place : place + 2] == ["-", "-"]


def test_a_stack_of_networks_is_refused_in_one_line():
    networks = [initialise([3, 3, 3], seed) for seed in (0, 1)]
    weights, biases = (
        tuple(np.stack([getattr(network, name)[layer] for network in networks]) for layer in (0, 1))
        for name in ("weights", "biases")
    )
    stack = replace(networks[0], weights=weights, biases=biases)
    rng = np.random.default_rng(0)
    record = settle(begin(build_circuit(stack), rng.random((2, 2, 3)), rng.random((2, 2, 3))))
    for door in (record.report, record.to_xarray, record.plot):
        with pytest.raises(CircuitError, match="of a stack of networks; settle") as caught:
            door()
        assert "\n" not in str(caught.value)


def test_a_layer_prints_as_one_short_line():
    words = repr(found().layers[0])
    assert words.startswith("LayerReport(layer 1, cosines gait 1.000000, ") and len(words) < 120

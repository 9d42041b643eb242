"""A trained network of any units takes part in the study `strength`, in every figure of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from circuit import initialise
from circuit.errors import CircuitError
from circuit.storage import save_network
from models import run_feedback_strength as command
from studies.strength.figures import FIGURES, alignment
from studies.strength.findings import findings
from studies.strength.study import study
from tests.commands import refusal

UNITS = {
    "tanh": ["tanh"] * 3,
    "asinh": ["asinh"] * 3,
    "linear": ["linear"] * 3,
    "leaky_relu": ["leaky_relu"] * 3,
    "asinh+linear": ["asinh", "asinh", "linear"],
}
HERE = ["--studies", "strength", "--scale", "smoke", "--workers", "0", "--quiet"]


def saved(path, units, widths=(64, 14, 14, 12), **options):
    network = initialise(widths, 7, activation=units, n_outputs=10, **options)
    save_network(path, network)
    return network


@pytest.fixture
def with_weights(measured, tmp_path, monkeypatch):
    """The result beside random networks, which are measured once for all tests, and the figures
    that the command has written, by name.
    """
    figures = {}

    def kept(name, draw):
        return lambda data: figures.setdefault(name, draw(data))

    for name, (needed, draw) in FIGURES.items():
        monkeypatch.setitem(FIGURES, name, (needed, kept(name, draw)))

    def of(units):
        saved(tmp_path / "net.npz", units)
        arguments = [*HERE, "--seeds", "1", "--weights", str(tmp_path / "net.npz")]
        measured("strength", 1, tmp_path / "out")
        assert command.main([*arguments, "--output", str(tmp_path / "out")]) == 0
        assert figures.keys() == {path.stem for path in (tmp_path / "out").glob("*.png")}
        return xr.load_dataset(tmp_path / "out" / "strength.nc"), figures

    return of


@pytest.mark.usefixtures("rough_pictures")
def test_what_is_missing_at_the_strongest_gamma_is_not_told_of(with_weights):
    """Nothing at the strongest, and of the ITP pathway nothing at all: what settled is a number."""
    data, _ = with_weights("tanh")
    pathway, gamma = data["pathway"].values, data["gamma"].values
    gone = (gamma == gamma.max()) | (pathway == "itp")
    names = ("cosine", "settled_fraction")
    some = data.assign({one: data[one].where(xr.DataArray(~gone, dims="cell")) for one in names})
    words = [text.get_text() for axes in alignment(some).axes for text in axes.texts]
    words = [one for one in words if one]
    assert len(words) > 2
    assert all(one == "settled at $\\gamma$ = 0.05:\n100 %" for one in words), words


@pytest.mark.usefixtures("rough_pictures")
@pytest.mark.parametrize("name", UNITS)
def test_its_row_is_drawn_whatever_its_units(with_weights, name):
    """Also beside random networks of other units and depths; the words name both."""
    data, figures = with_weights(UNITS[name])
    trained = data.isel(cell=data["init"].values == "trained")
    assert set(trained["activation"].values) == {name}
    alignment, error = (figures[f"strength_{kind}"] for kind in ("alignment", "error"))
    title = alignment.get_suptitle()
    for figure in (alignment, error):
        rows = [axes for axes in figure.axes if "trained weights" in axes.get_ylabel()]
        assert len(rows) == 1
        everywhere = [axes for axes in figure.axes if _row(axes) == _row(rows[0])]
        assert _points(everywhere, ("ITP", "GAIT")) > 0
    lines = [line for axes in figures["strength_gain"].axes for line in axes.lines]
    own = [line for line in lines if line.get_label().startswith("trained, ")]
    assert any(np.isfinite(line.get_ydata()).any() for line in own)
    stability = figures["strength_stability"]
    own = [line for axes in stability.axes for line in axes.lines if "trained" in line.get_label()]
    assert any(np.isfinite(line.get_ydata()).any() for line in own)
    text = findings(data)[0]
    assert f"trained: {name}" in text
    if name != "leaky_relu":
        assert "orthogonal leaky-ReLU, gaussian leaky-ReLU, trained " in title


def _row(axes):
    return axes.get_subplotspec().rowspan.start


def _points(all_axes, words):
    """How many points of lines with such labels are there."""
    lines = [line for axes in all_axes for line in axes.lines if line.get_label().startswith(words)]
    return sum(int(np.isfinite(line.get_ydata()).sum()) for line in lines)


def test_no_title_claims_what_the_data_need_not_show(with_weights):
    """Its pictures are laid out as a user has them."""
    _, figures = with_weights(["tanh"] * 3)
    for figure in figures.values():
        title = figure.get_suptitle()
        assert ", by feedback strength" in " ".join(title.split())
        assert max(map(len, title.splitlines())) < 130


def refused(tmp_path, capsys, network):
    save_network(tmp_path / "net.npz", network)
    out = tmp_path / "out"
    given = [*HERE, "--weights", str(tmp_path / "net.npz"), "--output", str(out)]
    said = refusal(capsys, command.main, *given)
    assert "net.npz" in said
    assert not list(out.glob("*"))  # before the first cell
    return said


def test_what_must_fail_in_every_cell_is_refused_before_the_first(tmp_path, capsys):
    path = tmp_path / "good.npz"
    good = saved(path, ["asinh"] * 3)
    weights = list(good.weights)
    weights[1] = np.ones_like(weights[1])
    words = refused(tmp_path, capsys, replace(good, weights=tuple(weights)))
    assert "condition number" in words or "depend on each other" in words
    clipped = initialise((64, 14, 12), 7, activation="clipped_tanh", n_outputs=10)
    assert "clipped_tanh does not; use tanh" in refused(tmp_path, capsys, clipped)
    narrow = initialise((64, 20, 20), 7, n_outputs=8)
    assert "8 outputs" in refused(tmp_path, capsys, narrow)
    singular = replace(good, weights=(np.zeros_like(weights[0]), *good.weights[1:]))
    save_network(path, singular)  # W_1 is never inverted
    assert study("smoke", weights=path).cells


def test_the_refusal_is_one_of_the_library_s(tmp_path):
    saved(tmp_path / "net.npz", ["clipped_tanh"] * 3)
    with pytest.raises(CircuitError, match=r"net\.npz: a circuit inverts its units exactly"):
        study("smoke", weights=tmp_path / "net.npz")

"""Pictures of the derivation held against the library.

Owns what `models/run_derivation.py` shows, drawn from `derivation.nc`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, NAMES, Axes, Drawings, Figure, headline, panels, styled
from circuit.settings.circuits import READOUTS

INITS = {"gaussian": "random (Gaussian) W", "orthogonal": "orthogonal W"}
# one fit of each claim, with what a reader needs to know of it
SHOWN = {
    "eq10-order": ("Eq. 10: linear increment, absolute", "bp"),
    "eq14-order": ("Eq. 14: M and ITP", "itp"),
    "eq21-order": ("Eq. 21: GAIT-prop", "gait"),
    "shift-order": ("GAIT circuit: shift, layers 2 .. L", "brian2"),
    "second-order": ("GAIT circuit: mismatch, linear piece", "tp"),
}


@styled
def fig1(data: xr.Dataset) -> Figure:
    """TP and GAIT-prop against BP, random and orthogonal weights: Fig. 1 right of the paper.

    Wants `update`, `bp_update` (source, weights, synapse), `scatter_cosine` (source, weights) and
    the attribute `scatter`.
    """
    figure, grid = panels(2, 2, figsize=(6.4, 6.6), sharex=True, sharey=True)
    for row, rule in enumerate(("tp", "gait")):
        for column, init in enumerate(INITS):
            axes = grid[row][column]
            _against_bp(axes, data.sel(source=rule, weights=init), COLOURS[rule])
            if row == 0:
                axes.set_title(INITS[init])
            else:
                axes.set_xlabel("weight change by back-propagation")
            if column == 0:
                axes.set_ylabel(f"by {NAMES[rule]}")
    headline(
        figure,
        "Weight changes of each rule against back-propagation's\n"
        f"({data.attrs['scatter']};\none point a synapse, each axis in units of its largest value)",
    )
    return figure


@styled
def fig1_circuit(data: xr.Dataset) -> Figure:
    """What the paper does not show: the circuit's equilibrium against BP, as Fig. 1 right.

    Wants what `fig1` does.
    """
    sources = [f"{way} {read}" for way in ("itp", "gait") for read in READOUTS]
    figure, grid = panels(2, 4, figsize=(8.6, 5.0), sharex=True, sharey=True)
    for row, init in enumerate(INITS):
        for column, source in enumerate(sources):
            axes = grid[row][column]
            way, read = source.split()
            _against_bp(axes, data.sel(source=source, weights=init), COLOURS[way])
            if row == 0:
                axes.set_title(f"{way.upper()} pathway,\n{read}")
            else:
                axes.set_xlabel("by back-propagation")
            if column == 0:
                axes.set_ylabel(f"by the circuit\n({INITS[init]})")
    left_out = int(data["scatter_unsettled"].max())
    without = f", up to {left_out} without an equilibrium left out" if left_out else ""
    headline(
        figure,
        "Weight changes read from the equilibrium against back-propagation's\n"
        f"({data.attrs['scatter']}{without};\n"
        "one point a synapse, each axis in units of its largest value)",
    )
    return figure


@styled
def orders(data: xr.Dataset) -> Figure:
    """Error against feedback strength, with the fitted orders.

    Wants `fit_claim`, `fit_slope`, `fit_half_width` (fit), `fit_gamma`, `fit_error` (fit, point).
    """
    figure, ((axes,),) = panels(figsize=(8.6, 4.2))
    names = [str(name) for name in data["fit_claim"].values]
    for (claim, (words, colour)), marker in zip(SHOWN.items(), "Dso^v", strict=True):
        if claim not in names:
            continue
        one = data.isel(fit=names.index(claim))
        slope, width = float(one["fit_slope"]), float(one["fit_half_width"])
        axes.loglog(
            one["fit_gamma"],
            one["fit_error"],
            marker + "-",
            color=COLOURS[colour],
            markerfacecolor="none",
            label=f"{words}\n  slope {_with_interval(slope, width)}",
        )
    axes.set_xlabel("feedback strength $\\gamma$")
    axes.set_ylabel("error (relative; Eq. 10: of the rate)")
    axes.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    headline(
        figure,
        "How the limits are approached, and the order that the derivation gives\n"
        "(slopes with 95 % intervals of Student's t; geometric means over layers and networks)",
    )
    return figure


DERIVATION: Drawings = {
    # name -> (variables it needs, function)
    "fig1": (("update",), fig1),
    "fig1_circuit": (("update",), fig1_circuit),
    "orders": (("fit_error",), orders),
}


def _against_bp(axes: Axes, data: xr.Dataset, colour: str) -> None:
    """One panel: points, the diagonal, and the cosine over all synapses of the layer."""
    x, y = (
        values / (float(np.nanmax(np.abs(values), initial=0.0)) or 1.0)
        for values in (data["bp_update"].values, data["update"].values)
    )
    axes.plot([-1, 1], [-1, 1], color=COLOURS["grey"], lw=0.8, zorder=0)
    axes.scatter(x, y, s=6, color=colour, alpha=0.5, linewidths=0, rasterized=True)
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.text(
        0.04,
        0.97,
        f"cosine {float(data['scatter_cosine']):.3f}",
        transform=axes.transAxes,
        fontsize=8.5,
        va="top",
    )


def _with_interval(slope: float, width: float) -> str:
    """A slope and the half-width of its interval, in one digit that is never rounded down."""
    decimals = max(0, -int(np.floor(np.log10(width)))) if width > 0 else 6
    digit = int(np.ceil(width * 10.0**decimals))
    return f"{slope:.{decimals}f} $\\pm$ {digit} in the last digit"

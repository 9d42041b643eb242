"""Every picture of this project, drawn from labelled datasets alone.

Owns the look of the figures and is the one file that imports matplotlib. Does not own what is
shown: the functions take the datasets that the commands save.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.records import write_atomically

# Okabe and Ito (2008): told apart also by colour-blind readers
COLOURS = {
    "circuit": "#000000",
    "gait": "#0072B2",
    "itp": "#D55E00",
    "tp": "#E69F00",
    "bp": "#009E73",
    "brian2": "#CC79A7",
    "grey": "#8C8C8C",
}
MARKERS = {"gait": "o", "itp": "s", "tp": "^", "bp": "D", "brian2": "v"}
NAMES = {
    "gait": "GAIT-prop",
    "itp": "ITP",
    "tp": "target propagation",
    "bp": "back-propagation",
}
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 130,
}


def save(figure: Figure, folder: Path, name: str, *, pdf: bool = False) -> list[Path]:
    """Save as PNG, and as PDF on request; returns the files."""
    paths = [folder / f"{name}.{kind}" for kind in (("png", "pdf") if pdf else ("png",))]
    for path in paths:
        write_atomically(path, figure.savefig)
    plt.close(figure)
    return paths


def settling(data: xr.Dataset) -> Figure:
    """Rates settling in time: the free phase from rest, then the nudged phase.

    Wants `free_time`, `nudged_time` (ms), and for each layer l `free_rate_l`, `nudged_rate_l`
    (time, unit) of one image; `rest_rate_l` (unit), from which shifts count; and the attribute
    `trajectories`.
    """
    depth = data.sizes["layer"]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            depth, 2, figsize=(8.6, 1.45 * depth + 0.9), sharex="col", squeeze=False
        )
        for row in range(depth):
            layer = row + 1
            free, nudged = data[f"free_rate_{layer}"], data[f"nudged_rate_{layer}"]
            shades = plt.get_cmap("cividis")(np.linspace(0.05, 0.9, free.shape[1]))
            left, right = panels[row]
            shift = nudged.values - data[f"rest_rate_{layer}"].values
            exponent = _exponent(shift)
            for unit in range(free.shape[1]):
                left.plot(data["free_time"], free.values[:, unit], color=shades[unit], lw=1)
                right.plot(
                    data["nudged_time"],
                    shift[:, unit] * 10.0**-exponent,
                    color=shades[unit],
                    lw=1,
                )
            left.set_ylabel("rate")
            right.set_ylabel(f"shift / $10^{{{exponent}}}$")
            name = "output" if layer == depth else f"layer {layer}"
            left.set_title(f"{name}, free phase", loc="left")
            right.set_title(f"{name}, nudged phase", loc="left")
        # the rest of the run only shows that nothing happens any more
        for axes, time in ((panels[-1][0], "free_time"), (panels[-1][1], "nudged_time")):
            axes.set_xlim(0, 0.4 * float(data[time].values[-1]))
        panels[-1][0].set_xlabel("time since rest (ms)")
        panels[-1][1].set_xlabel("time since the nudge began (ms)")
        figure.suptitle(
            "Rates settle on the forward pass; the nudge then shifts each layer, the lower the "
            f"later\n({data.attrs['trajectories']}, first image, units with the largest shifts)",
            fontsize=10,
            x=0.02,
            ha="left",
        )
    return figure


def update_scatter(data: xr.Dataset) -> Figure:
    """The circuit's update against each rule's, as in Fig. 1 right of the paper.

    Wants `circuit_update` (layer, synapse) and `rule_update` (rule, layer, synapse), a sample of
    synapses, and `cosine`, `norm_ratio` (rule, layer).
    """
    rules = [str(rule) for rule in data["rule"].values]
    depth = data.sizes["layer"]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(rules), depth, figsize=(2.15 * depth + 0.6, 1.95 * len(rules) + 0.7), squeeze=False
        )
        for row, rule in enumerate(rules):
            for column in range(depth):
                axes: Axes = panels[row][column]
                x = data["rule_update"].values[row, column]
                y = data["circuit_update"].values[column]
                _scatter(axes, x, y, COLOURS[rule])
                cosine = float(data["cosine"].values[row, column])
                ratio = float(data["norm_ratio"].values[row, column])
                axes.text(
                    0.04,
                    0.97,
                    f"cosine {cosine:.3f}\nnorm x {ratio:.2g}",
                    transform=axes.transAxes,
                    fontsize=8.5,
                    va="top",
                )
                if row == 0:
                    axes.set_title("output" if column == depth - 1 else f"layer {column + 1}")
                if column == 0:
                    axes.set_ylabel(f"by the circuit\n(against {rule.upper()})")
                if row == len(rules) - 1:
                    axes.set_xlabel("by the rule")
        figure.suptitle(
            "Weight changes read from the equilibrium against those of each rule\n"
            "(one point a synapse; each axis in units of its largest value)",
            fontsize=10,
            x=0.02,
            ha="left",
        )
    return figure


def agreement_by_layer(data: xr.Dataset) -> Figure:
    """Cosine and relative error of the circuit's update against every rule, layer by layer.

    Wants `cosine`, `relative_error` (rule, layer), `bound` (layer), and the attributes `pathway`
    and `agrees`.
    """
    rules = [str(rule) for rule in data["rule"].values]
    layers, pathway = data["layer"].values, str(data.attrs["pathway"])
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4))
        for row, rule in enumerate(rules):
            style: Any = {
                "color": COLOURS[rule],
                "marker": MARKERS[rule],
                "label": NAMES[rule],
                "lw": 1.5,
                # ring upon ring, so that rules that agree stay visible
                "markerfacecolor": "none" if row % 2 else COLOURS[rule],
                "markersize": 6 + 3 * (row % 2),
            }
            left.plot(layers, data["cosine"].values[row], **style)
            right.semilogy(layers, data["relative_error"].values[row], **style)
        right.semilogy(
            layers, data["bound"].values, "--", color=COLOURS["grey"], label="bound for its rule"
        )
        left.set_ylabel("cosine with the rule's update")
        right.set_ylabel("relative error")
        for axes in (left, right):
            axes.set_xlabel("layer (the last is the output)")
            axes.set_xticks(layers)
        left.set_ylim(min(-0.1, float(np.nanmin(data["cosine"].values)) - 0.05), 1.06)
        right.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.suptitle(
            f"With the {pathway.upper()} pathway the circuit's update "
            f"{'is' if data.attrs['agrees'] else 'is not'} that of {NAMES[pathway]}",
            x=0.02,
            ha="left",
        )
    return figure


def shift_sizes(data: xr.Dataset) -> Figure:
    """Size of each layer's shift against its prediction and the rounding of float64.

    Wants `log10_shift`, `log10_prediction`, `log10_floor` (layer), and `log10_brian2_error`
    (layer) where Brian2 ran.
    """
    layers = data["layer"].values
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.6))
        axes.plot(
            layers,
            data["log10_prediction"],
            "o",
            ms=13,
            markerfacecolor="none",
            color=COLOURS["gait"],
            label="prediction from gamma and the rule's direction",
        )
        axes.plot(layers, data["log10_shift"], "k.-", ms=8, label="shift at equilibrium")
        if "log10_brian2_error" in data:
            axes.plot(
                layers,
                data["log10_brian2_error"],
                "v:",
                color=COLOURS["brian2"],
                label="difference between Brian2 and the direct method",
            )
        axes.plot(
            layers,
            data["log10_floor"],
            "--",
            color=COLOURS["grey"],
            label="rounding of the rates in float64",
        )
        axes.set_xticks(layers)
        axes.set_xlabel("layer (the last is the output)")
        axes.set_ylabel("$\\log_{10}$ of the norm (rate)")
        axes.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.set_size_inches(9.2, 3.6)
        figure.suptitle(
            "Each layer further from the output, the shift is smaller by gamma", x=0.02, ha="left"
        )
    return figure


EQUILIBRIUM: dict[str, tuple[Sequence[str], Callable[[xr.Dataset], Figure]]] = {
    # name -> (variables it needs, function)
    "settling": (("free_time",), settling),
    "updates": (("circuit_update",), update_scatter),
    "agreement": (("cosine",), agreement_by_layer),
    "shifts": (("log10_shift",), shift_sizes),
}


def draw_equilibrium(data: xr.Dataset, folder: Path, *, pdf: bool = False) -> list[Path]:
    """Draw every figure that `data` has the variables for; returns the files."""
    paths: list[Path] = []
    for name, (needed, draw) in EQUILIBRIUM.items():
        if all(variable in data for variable in needed):
            paths += save(draw(data), folder, name, pdf=pdf)
    return paths


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Points, each axis in units of its own largest value, with the diagonal."""
    x, y = (values / (float(np.nanmax(np.abs(values))) or 1.0) for values in (x, y))
    axes.plot([-1, 1], [-1, 1], color=COLOURS["grey"], lw=0.8, zorder=0)
    axes.scatter(x, y, s=5, color=colour, alpha=0.5, linewidths=0, rasterized=True)
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])


def _exponent(values: np.ndarray) -> int:
    size = float(np.max(np.abs(values)))
    return int(np.floor(np.log10(size))) if size > 0 else 0

"""Pictures of one settled circuit.

Owns what the main command shows, drawn from `equilibrium.nc`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import (
    COLOURS,
    MARKERS,
    NAMES,
    Axes,
    Drawings,
    Figure,
    headline,
    panels,
    shades,
    styled,
)
from circuit.verification.judgement import Status


@styled
def settling(data: xr.Dataset) -> Figure:
    """Rates settling in time: the free phase from rest, then the nudged phase.

    Wants `free_time`, `nudged_time` (ms), and for each layer l `free_rate_l`, `nudged_rate_l`
    (time, unit) of one image; `rest_rate_l` (unit), from which shifts count; and the attribute
    `trajectories`.
    """
    depth = data.sizes["layer"]
    figure, grid = panels(depth, 2, figsize=(8.6, 1.45 * depth + 0.9), sharex="col")
    for row in range(depth):
        layer = row + 1
        free, nudged = data[f"free_rate_{layer}"], data[f"nudged_rate_{layer}"]
        colours = shades(free.shape[1])
        left, right = grid[row]
        shift = nudged.values - data[f"rest_rate_{layer}"].values
        exponent = _exponent(shift)
        for unit in range(free.shape[1]):
            left.plot(data["free_time"], free.values[:, unit], color=colours[unit], lw=1)
            right.plot(
                data["nudged_time"],
                shift[:, unit] * 10.0**-exponent,
                color=colours[unit],
                lw=1,
            )
        left.set_ylabel("rate")
        right.set_ylabel(f"shift / $10^{{{exponent}}}$")
        name = "output" if layer == depth else f"layer {layer}"
        left.set_title(f"{name}, free phase", loc="left")
        right.set_title(f"{name}, nudged phase", loc="left")
    # the rest of the run only shows that nothing happens any more
    for axes, time in ((grid[-1][0], "free_time"), (grid[-1][1], "nudged_time")):
        axes.set_xlim(0, 0.4 * float(data[time].values[-1]))
    grid[-1][0].set_xlabel("time since rest (ms)")
    grid[-1][1].set_xlabel("time since the nudge began (ms)")
    headline(
        figure,
        "Rates settling in time, from rest and after the nudge began\n"
        f"({data.attrs['trajectories']}, first image, units with the largest shifts)",
    )
    return figure


@styled
def update_scatter(data: xr.Dataset) -> Figure:
    """The circuit's update against each rule's, as in Fig. 1 right of the paper.

    Wants `circuit_update` (layer, synapse) and `rule_update` (rule, layer, synapse), a sample of
    synapses, and `cosine`, `norm_ratio` (rule, layer).
    """
    rules = [str(rule) for rule in data["rule"].values]
    depth = data.sizes["layer"]
    size = (2.05 * depth + 0.6, 1.85 * len(rules) + 0.7)
    figure, grid = panels(len(rules), depth, figsize=size, sharex=True, sharey=True)
    for row, rule in enumerate(rules):
        for column in range(depth):
            axes: Axes = grid[row][column]
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
    grid[0][0].set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    headline(
        figure,
        "Weight changes read from the equilibrium against those of each rule: direction is the "
        f"cosine,\nlength the norm over the rule's, of all layers {_lengths(data)}\n"
        "(one point a synapse; each axis in units of its largest value)",
    )
    return figure


def _lengths(data: xr.Dataset) -> str:
    """The least and the largest norm over each rule's, in words."""
    words = []
    for row, rule in enumerate(data["rule"].values):
        ratios = data["norm_ratio"].values[row]
        ends = dict.fromkeys(f"{one:.2g}" for one in (np.nanmin(ratios), np.nanmax(ratios)))
        words.append(f"{str(rule).upper()} {' to '.join(ends)}")
    return ", ".join(words)


@styled
def agreement_by_layer(data: xr.Dataset) -> Figure:
    """Cosine and relative error of the circuit's update against every rule, layer by layer.

    Wants `cosine`, `relative_error` (rule, layer), `bound` (layer), and the attributes `pathway`
    and `agrees`.
    """
    rules = [str(rule) for rule in data["rule"].values]
    layers, pathway = data["layer"].values, str(data.attrs["pathway"])
    figure, ((left, right),) = panels(1, 2, figsize=(8.6, 3.4))
    for row, rule in enumerate(rules):
        style: Any = {
            "color": COLOURS[rule],
            "marker": MARKERS[rule],
            "label": NAMES[rule],
            # ring in ring and line in line, so that rules that agree stay visible
            "lw": 1.2 * (len(rules) - row),
            "markerfacecolor": COLOURS[rule] if row == len(rules) - 1 else "none",
            "markeredgewidth": 1.5,
            "markersize": 4 + 2.5 * (len(rules) - 1 - row),
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
    headline(figure, _outcome(data, pathway))
    return figure


@styled
def shift_sizes(data: xr.Dataset) -> Figure:
    """Size of each layer's shift against its prediction and the rounding of float64.

    Wants `log10_shift`, `log10_prediction`, `log10_floor` (layer), and `log10_brian2_error`
    (layer) where Brian2 ran.
    """
    layers = data["layer"].values
    figure, ((axes,),) = panels(figsize=(9.2, 3.6))
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
    headline(
        figure,
        "Size of each layer's shift at equilibrium",
    )
    return figure


EQUILIBRIUM: Drawings = {
    # name -> (variables it needs, function)
    "settling": (("free_time",), settling),
    "updates": (("circuit_update",), update_scatter),
    "agreement": (("cosine",), agreement_by_layer),
    "shifts": (("log10_shift",), shift_sizes),
}


def _outcome(data: xr.Dataset, pathway: str) -> str:
    """What these data show of the circuit's update."""
    if data.attrs["status"] != Status.CONVERGED.value:
        return f"The circuit did not settle ({data.attrs['status']}): updates of where it was left"
    verdict = str(data.attrs["verdict"])
    words = "is" if data.attrs["agrees"] else "is not"
    if verdict.startswith("Whether"):
        words = "may or may not be (its bound decides nothing)"
    return (
        f"With the {pathway.upper()} pathway the circuit's update {words} that of {NAMES[pathway]}"
    )


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Points, each axis in units of its own largest value, with the diagonal."""
    x, y = (values / (float(np.nanmax(np.abs(values))) or 1.0) for values in (x, y))
    axes.plot([-1, 1], [-1, 1], color=COLOURS["grey"], lw=0.8, zorder=0)
    axes.scatter(x, y, s=5, color=colour, alpha=0.5, linewidths=0, rasterized=True)
    axes.set_aspect("equal")


def _exponent(values: np.ndarray) -> int:
    size = float(np.max(np.abs(values)))
    return int(np.floor(np.log10(size))) if size > 0 else 0

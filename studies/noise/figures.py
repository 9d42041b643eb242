"""Pictures of the study of noise against bias.

Owns what `noise.nc` shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, shades, styled
from analysis.statistics import LEVEL, over_repetitions
from studies.noise.curves import SIGMA, Curve, broken, curves, exponents, optima, select
from studies.noise.theory import best_strength, log_curve, predicted_exponent

DURATION = 1000.0  # averaging time of the picture of bias and noise, in time constants
DEPTH_COLOURS = (COLOURS["gait"], COLOURS["itp"], COLOURS["bp"], COLOURS["brian2"], COLOURS["tp"])


@styled
def signal_to_noise(data: xr.Dataset) -> Figure:
    """Signal-to-noise ratio of every layer against gamma, and Brian2's variance over the theory's.

    Wants `image_snr`, `simulated_ratio`, `standard_error` (cell, readout, layer), `window` (cell).
    """
    first, depths = data["seed"].values[0], np.unique(data["depth"].values)
    figure, grid = panels(
        2,
        len(depths),
        figsize=(8.6, 5.6),
        sharex=True,
        sharey="row",
        gridspec_kw={"height_ratios": (2, 1)},
    )
    for column, depth in enumerate(depths):
        layers, colours = int(depth) + 1, shades(int(depth) + 1)
        chosen = select(data, depth=depth, pathway="gait", activation="asinh", seed=first)
        chosen = chosen.sel(readout="shift")
        gammas, ran = chosen["gamma"].values, chosen["copies"].values > 0
        upper: Axes = grid[0][column]
        lower: Axes = grid[1][column]
        for layer in range(layers, 0, -1):
            one, style = chosen.sel(layer=layer), {"color": colours[layer - 1], "ms": 4}
            theory = one["image_snr"].values / SIGMA
            ratio, error = (one[name].values[ran] for name in ("simulated_ratio", "standard_error"))
            upper.loglog(gammas, theory, lw=1.3, color=colours[layer - 1])
            upper.plot(
                gammas[ran],
                theory[ran] / np.sqrt(ratio),
                "o",
                markerfacecolor="white",
                label="output" if layer == layers else f"layer {layer}",
                **style,
            )
            # side by side, so that no point hides another
            beside = gammas[ran] * 1.12 ** (layer - (layers + 1) / 2)
            lower.errorbar(beside, ratio, yerr=2 * error, fmt="o", lw=1.2, **style)
        upper.axhline(1, color=COLOURS["grey"], lw=0.8, ls="--")
        lower.axhline(1, color=COLOURS["grey"], lw=0.8)
        upper.set_title("1 hidden layer" if depth == 1 else f"{depth} hidden layers")
        upper.legend(fontsize=8, loc="lower right", handletextpad=0.2, labelspacing=0.25)
        lower.set_xlabel("feedback strength gamma")
    grid[0][0].set_ylabel("signal / noise of the shift")
    grid[1][0].set_ylabel("noise power,\nBrian2 / theory")
    window = float(data["window"].values[0])
    headline(
        figure,
        "Signal and noise of each layer, by feedback strength\n"
        f"(GAIT, asinh, noise {SIGMA:g}, averages over {window:g} time constants; lines: theory; "
        "points: Brian2,\nbelow with two standard errors; dashed: signal and noise are equal)",
    )
    return figure


@styled
def noise_against_bias(data: xr.Dataset) -> Figure:
    """Error of the update against gamma, with its two parts and its minimum.

    Wants `bias`, `misdirection` (cell, readout, rule, layer) and `update_noise` (cell, readout,
    duration, layer).
    """
    depths = np.unique(data["depth"].values)
    figure, grid = panels(2, len(depths), figsize=(8.6, 5.2), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for row, layer in enumerate((1, int(depth) + 1)):
            axes: Axes = grid[row][column]
            table = curves(data, Curve(int(depth), layer), DURATION)
            turned = curves(data, Curve(int(depth), layer, error="misdirection"), DURATION)
            bias, noise = table["bias"].values[0], SIGMA * table["noise"].values[0]
            there = np.isfinite(bias)
            strengths = table["gamma"].values[there]
            gammas = np.geomspace(strengths[0], strengths[-1], 200)
            noisy, biased, misdirected = (
                np.exp(log_curve(strengths, values[there])(np.log(gammas)))
                for values in (noise, bias, turned["bias"].values[0])
            )
            best = best_strength(table["gamma"].values, bias, noise)
            axes.loglog(gammas, noisy, ":", color=COLOURS["itp"], lw=1.8, label="noise")
            axes.loglog(gammas, biased, "--", color=COLOURS["gait"], lw=1.5, label="bias")
            axes.loglog(
                gammas, misdirected, "-.", color=COLOURS["gait"], lw=0.9, label="bias of direction"
            )
            axes.loglog(gammas, np.hypot(biased, noisy), color="k", lw=1.5, label="bias and noise")
            if best.inside:
                axes.plot(best.strength, best.error, "o", ms=8, color=COLOURS["bp"])
                axes.annotate(
                    f"{best.strength:.2g}",
                    (best.strength, best.error),
                    xytext=(0, 9),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
            axes.axhline(1, color=COLOURS["grey"], lw=0.8)
            if row == 0:
                axes.set_title("1 hidden layer" if depth == 1 else f"{depth} hidden layers")
    for row, name in enumerate(("layer 1", "output")):
        grid[row][0].set_ylabel(f"{name}:\nrelative error of the update")
        # what is a hundred times wrong is wrong enough to be seen
        grid[row][0].set_ylim(1e-4, 1e2)
    for axes in grid[1]:
        axes.set_xlabel("feedback strength gamma")
    grid[0][-1].legend(fontsize=8.5, loc="upper left", labelspacing=0.25)
    headline(
        figure,
        "Error of the update by feedback strength, its bias and its noise\n"
        f"(GAIT, asinh, shift read-out, noise {SIGMA:g}, averages over {DURATION:g} time "
        "constants; first seed)",
    )
    return figure


@styled
def best_feedback(data: xr.Dataset) -> Figure:
    """The best gamma and the error that it leaves against averaging time, per depth.

    Wants `bias` (cell, readout, rule, layer), `update_noise` (cell, readout, duration, layer).
    """
    depths = [int(depth) for depth in np.unique(data["depth"].values)]
    durations = data["duration"].values
    times = np.concatenate([durations[1:], durations[-1] * 10.0 ** np.arange(1, 6)])
    figure, ((left, right),) = panels(1, 2, figsize=(8.6, 4.7))
    for index, depth in enumerate(depths):
        colour = DEPTH_COLOURS[index % len(DEPTH_COLOURS)]
        for layer in (1, depth + 1):
            case = Curve(depth, layer)
            predicted = predicted_exponent(1, depth + 2 - layer)
            fitted = exponents(data, case)
            mean, half = over_repetitions(fitted)
            span = f"{mean - half:.4f} to {mean + half:.4f} " if np.isfinite(half) else ""
            name = f"{depth} hidden, {'layer 1' if layer == 1 else 'output'}: "
            name += f"{span}({predicted:.4f})"
            style: Any = {"color": colour, "marker": "o" if layer == 1 else "s", "ms": 5, "lw": 1.2}
            style |= {"ls": "-"} if layer == 1 else {"ls": "--", "markerfacecolor": "white"}
            style |= {"markevery": list(range(len(durations) - 1))}  # none where extrapolated
            for axes, values in zip((left, right), optima(data, case, times), strict=True):
                middle, half = over_repetitions(np.log(values))
                axes.loglog(times, np.exp(middle), **style, label=name)
                axes.fill_between(
                    times, np.exp(middle - half), np.exp(middle + half), color=colour, alpha=0.2
                )
    left.set_ylabel("best feedback strength gamma")
    right.set_ylabel("relative error of the update there")
    right.axhline(1, color=COLOURS["grey"], lw=0.8)
    for axes in (left, right):
        axes.set_xlabel("averaging time (time constants)")
        axes.axvspan(durations[-1], times[-1], color=COLOURS["grey"], alpha=0.13, lw=0, zorder=0)
        axes.set_xlim(right=times[-1])
    left.text(
        float(np.sqrt(durations[-1] * times[-1])),
        0.02,
        "extrapolated:\nnoise as 1/sqrt(time)",
        transform=left.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        fontsize=8.5,
        title="exponent of the best gamma in 1/time: fitted (predicted)",
        title_fontsize=8.5,
    )
    headline(
        figure,
        "The best feedback strength for layer 1 and its error, by depth and duration\n"
        f"(GAIT, asinh, shift read-out, noise {SIGMA:g}; geometric means over seeds with "
        f"{100 * LEVEL:.0f} % intervals)",
    )
    return figure


@styled
def linear_range(data: xr.Dataset) -> Figure:
    """Brian2 against the linear theory as the noise grows: variance of the shift, mean mismatch.

    Wants `simulated_ratio`, `standard_error`, `mean_z` (cell, readout, layer), `kink_noise` (cell).
    """
    series = broken(data)
    figure, grid = panels(2, max(len(series), 1), figsize=(8.6, 5.0), sharex=True, sharey="row")
    for column, (activation, pathway, cells) in enumerate(series):
        layers = int(cells["depth"].values[0]) + 1
        colours = shades(layers)
        upper: Axes = grid[0][column]
        lower: Axes = grid[1][column]
        for layer in range(layers, 0, -1):
            part, noise = cells.sel(layer=layer), cells["noise"].values
            shift = part.sel(readout="shift")
            style: Any = {"color": colours[layer - 1], "ms": 4, "lw": 1.2}
            upper.errorbar(
                noise * 1.08 ** (layer - (layers + 1) / 2),
                shift["simulated_ratio"].values,
                yerr=2 * shift["standard_error"].values,
                fmt="o-",
                label="output" if layer == layers else f"layer {layer}",
                **style,
            )
            lower.plot(noise, part["mean_z"].sel(readout="mismatch").values, "o-", **style)
        kink = float(cells["kink_noise"].values[0])
        for axes, level in ((upper, 1.0), (lower, 0.0)):
            axes.axhline(level, color=COLOURS["grey"], lw=0.8)
            if np.isfinite(kink):
                axes.axvline(kink, color=COLOURS["itp"], lw=1.0, ls=":")
        upper.set_xscale("log")
        upper.set_title(f"{activation}, {pathway.upper()} pathway")
        lower.set_xlabel("noise sigma (rate)")
    grid[0][0].set_ylabel("noise power of the shift,\nBrian2 / linear theory")
    grid[1][0].set_ylabel("mean mismatch off its\nvalue (z-score)")
    if series:
        grid[0][0].legend(fontsize=8, loc="lower left", labelspacing=0.25)
    headline(
        figure,
        "Mean signals by noise, where units lie near their kink\n"
        "(gamma 0.2; bars: two standard errors; dotted: noise at which one standard deviation "
        "reaches the nearest kink)",
    )
    return figure


FIGURES: Drawings = {
    # name -> (variables it needs, function)
    "noise_signal": (("image_snr", "simulated_ratio"), signal_to_noise),
    "noise_against_bias": (("misdirection", "update_noise"), noise_against_bias),
    "noise_best_feedback": (("bias", "update_noise"), best_feedback),
    "noise_linear_range": (("mean_z", "kink_noise"), linear_range),
}

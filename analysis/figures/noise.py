"""Pictures of the study of noise against bias.

Owns what `noise.nc` shows. Does not own the look (`canvas`) nor the theory (`analysis.noise`).

Every variable of that file lies along `cell`; a cell is one feedback strength of one circuit. Noise
is given there at sigma = 1, and is shown here at `SIGMA`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from analysis.figures.canvas import (
    COLOURS,
    Axes,
    Drawings,
    Figure,
    headline,
    panels,
    shades,
    styled,
)
from analysis.noise import best_strength, fitted_exponent, predicted_exponent

SIGMA = 0.01  # standard deviation of an isolated unit, in the units of the rates
WEAK = 0.03  # strengths below are taken for the limit of weak feedback
LEVEL = 0.95  # of intervals over seeds
FEWEST = 5  # strengths in a fit of three parameters


@styled
def signal_to_noise(data: xr.Dataset) -> Figure:
    """Signal-to-noise ratio of every layer against gamma: theory as lines, Brian2 as points.

    Wants `image_snr`, `simulated_ratio`, `standard_error` (cell, readout, layer), `window` (cell).
    """
    data = _faint(data)
    first = data["seed"].values[0]
    depths = np.unique(data["depth"].values)
    readouts = [str(name) for name in data["readout"].values]
    figure, grid = panels(
        len(readouts),
        len(depths),
        figsize=(8.6, 5.6),
        sharex=True,
        sharey=True,
    )
    for column, depth in enumerate(depths):
        layers, colours = int(depth) + 1, shades(int(depth) + 1)
        chosen = _select(data, depth=depth, pathway="gait", activation="asinh", seed=first)
        gammas, ran = chosen["gamma"].values, chosen["copies"].values > 0
        for row, readout in enumerate(readouts):
            axes: Axes = grid[row][column]
            part = chosen.sel(readout=readout)
            for layer in range(layers, 0, -1):
                one = part.sel(layer=layer)
                theory = one["image_snr"].values / SIGMA
                ratio, error = (
                    one[name].values[ran] for name in ("simulated_ratio", "standard_error")
                )
                axes.plot(gammas, theory, color=colours[layer - 1], lw=1.3)
                axes.errorbar(
                    gammas[ran],
                    theory[ran] / np.sqrt(ratio),
                    # two standard errors of the ratio, carried through 1/sqrt
                    yerr=theory[ran] * error / ratio**1.5,
                    fmt="o",
                    ms=4,
                    color=colours[layer - 1],
                    markerfacecolor="white",
                    label="output" if layer == layers else f"layer {layer}",
                )
            axes.axhline(1, color=COLOURS["grey"], lw=0.8, ls="--")
            axes.set_xscale("log")
            axes.set_yscale("log")
            if row == 0:
                axes.set_title("1 hidden layer" if depth == 1 else f"{depth} hidden layers")
            else:
                axes.set_xlabel("feedback strength gamma")
            if column == 0:
                axes.set_ylabel(f"{readout}:\nsignal / noise")
    for axes in grid[0]:
        axes.legend(fontsize=7.5, loc="lower right", handletextpad=0.2, labelspacing=0.25)
    window = float(data["window"].values[0])
    headline(
        figure,
        "Each layer further from the output, weak feedback sinks the signal deeper into the noise\n"
        f"(noise {SIGMA:g}, averages over {window:g} time constants; lines: theory, points: Brian2 "
        "with two standard errors; dashed: 1)",
    )
    return figure


@styled
def noise_against_bias(data: xr.Dataset) -> Figure:
    """Error of the update against gamma, with its two parts and its minimum.

    Wants `bias` (cell, readout, rule, layer), `update_noise` (cell, readout, duration, layer).
    """
    data = _faint(data)
    depths, duration = np.unique(data["depth"].values), 1000.0
    figure, grid = panels(2, len(depths), figsize=(8.6, 5.2), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for row, layer in enumerate((1, int(depth) + 1)):
            axes: Axes = grid[row][column]
            curves = _curves(data, depth, "gait", "asinh", "shift", layer, duration)
            gammas = curves["gamma"].values
            bias, noise = curves["bias"].values[0], SIGMA * curves["noise"].values[0]
            total, best = np.hypot(bias, noise), best_strength(gammas, bias, noise)
            axes.loglog(gammas, noise, ":", color=COLOURS["itp"], lw=1.8, label="noise")
            axes.loglog(gammas, bias, "--", color=COLOURS["gait"], lw=1.5, label="bias")
            axes.loglog(gammas, total, color=COLOURS["circuit"], lw=1.5, label="both")
            if best.inside:
                axes.plot(best.strength, best.error, "o", ms=8, color=COLOURS["bp"])
                axes.annotate(
                    f"{best.strength:.2g}",
                    (best.strength, best.error),
                    xytext=(0, -14),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
            if row == 0:
                axes.set_title("1 hidden layer" if depth == 1 else f"{depth} hidden layers")
            else:
                axes.set_xlabel("feedback strength gamma")
            if column == 0:
                axes.set_ylabel(f"{'layer 1' if row == 0 else 'output'}:\nerror of the update")
            axes.axhline(1, color=COLOURS["grey"], lw=0.8)
    grid[0][0].legend(fontsize=8.5, loc="upper right")
    headline(
        figure,
        "Weaker feedback is more exact and noisier: the least error of the update lies between\n"
        f"(GAIT pathway, asinh, shift read-out, noise {SIGMA:g}, averages over {duration:g} time "
        "constants, first seed; relative error)",
    )
    return figure


@styled
def best_feedback(data: xr.Dataset) -> Figure:
    """The best gamma and the error that it leaves against averaging time, per depth.

    Wants `bias` (cell, readout, rule, layer), `update_noise` (cell, readout, duration, layer).
    """
    data = _faint(data)
    depths = np.unique(data["depth"].values)
    colours = shades(len(depths) + 1)
    longest = float(data["duration"].values[-1])
    times = np.concatenate([data["duration"].values[1:], longest * 10.0 ** np.arange(1, 6)])
    figure, ((left, right),) = panels(1, 2, figsize=(8.6, 4.6))
    for colour, depth in zip(colours, depths, strict=False):
        for layer in (1, int(depth) + 1):
            best, errors = optima(data, depth, "gait", "asinh", "shift", layer, times)
            exponent, half = exponents(data, depth, "gait", "asinh", "shift", layer)
            predicted = predicted_exponent(1, int(depth) + 2 - layer)
            name = f"{depth} hidden, {'layer 1' if layer == 1 else 'output'}: "
            name += f"{exponent:.3f}$\\pm${half:.3f} ({predicted:.3f})"
            style: Any = {"color": colour, "marker": "o" if layer == 1 else "s", "ms": 5}
            if layer > 1:
                style |= {"markerfacecolor": "white"}
            for axes, values in ((left, best), (right, errors)):
                axes.loglog(
                    times, values.mean(axis=0), lw=1.2, ls="-" if layer == 1 else "--", **style
                )
                low, high = _interval(values)
                axes.fill_between(times, low, high, color=colour, alpha=0.2, lw=0)
            left.plot([], [], label=name, ls="-" if layer == 1 else "--", **style)
    left.set_ylabel("best feedback strength gamma")
    right.set_ylabel("relative error of the update there")
    right.axhline(1, color=COLOURS["grey"], lw=0.8)
    for axes in (left, right):
        axes.set_xlabel("averaging time (time constants)")
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
        "The deeper the layer, the stronger its best feedback and the less that patience helps\n"
        f"(GAIT pathway, asinh, shift read-out, noise {SIGMA:g}; means over seeds with "
        f"{100 * LEVEL:.0f} % intervals; the error is 1 where nothing is learned)",
    )
    return figure


NOISE: Drawings = {
    # name -> (variables it needs, function)
    "signal_to_noise": (("image_snr", "simulated_ratio"), signal_to_noise),
    "noise_against_bias": (("bias", "update_noise"), noise_against_bias),
    "best_feedback": (("bias", "update_noise"), best_feedback),
}


# --- from cells to curves ---


def optima(
    data: xr.Dataset,
    depth: int,
    pathway: str,
    activation: str,
    readout: str,
    layer: int,
    times: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Best gamma and error there, (seed, time); NaN where the minimum is not inside the range."""
    best, errors = [], []
    longest = float(data["duration"].values[-1])
    for time in times:
        # averages over more than thousands of time constants fall as 1/sqrt(time)
        curves = _curves(data, depth, pathway, activation, readout, layer, min(time, longest))
        factor = SIGMA * np.sqrt(min(1.0, longest / time))
        found = [
            best_strength(curves["gamma"].values, bias, factor * noise)
            for bias, noise in zip(curves["bias"].values, curves["noise"].values, strict=True)
        ]
        best.append([one.strength if one.inside else np.nan for one in found])
        errors.append([one.error if one.inside else np.nan for one in found])
    return np.array(best).T, np.array(errors).T


def exponents(
    data: xr.Dataset, depth: int, pathway: str, activation: str, readout: str, layer: int
) -> tuple[float, float]:
    """Fitted exponent of the best gamma in 1/time for weak feedback: mean, half its interval.

    Student's t over seeds. NaN where too few strengths or seeds were measured.
    """
    longest = float(data["duration"].values[-1])
    curves = _curves(data, depth, pathway, activation, readout, layer, longest)
    weak = curves["gamma"].values < WEAK
    if weak.sum() < FEWEST:
        return np.nan, np.nan
    found = [
        fitted_exponent(curves["gamma"].values[weak], bias[weak], noise[weak])
        for bias, noise in zip(curves["bias"].values, curves["noise"].values, strict=True)
        if np.isfinite(bias[weak]).all()
    ]
    if not found:
        return np.nan, np.nan
    low, high = _interval(np.array(found)[:, None])
    return float(np.mean(found)), float((high - low)[0] / 2)


def _curves(
    data: xr.Dataset,
    depth: int,
    pathway: str,
    activation: str,
    readout: str,
    layer: int,
    duration: float,
) -> xr.Dataset:
    """`bias` and `noise` (seed, gamma) of one layer's update against the pathway's own rule."""
    chosen = _select(data, depth=depth, pathway=pathway, activation=activation)
    chosen = chosen.sel(readout=readout, layer=layer)
    seeds, gammas = (np.unique(chosen[name].values) for name in ("seed", "gamma"))
    place = (
        np.searchsorted(seeds, chosen["seed"].values),
        np.searchsorted(gammas, chosen["gamma"].values),
    )
    curves = {
        "bias": chosen["bias"].sel(rule="pathway").values,
        "noise": chosen["update_noise"].sel(duration=duration).values,
    }
    tables = {name: np.full((len(seeds), len(gammas)), np.nan) for name in curves}
    for name, values in curves.items():
        tables[name][place] = values
    return xr.Dataset(
        {name: (("seed", "gamma"), table) for name, table in tables.items()},
        coords={"seed": seeds, "gamma": gammas},
    )


def _select(data: xr.Dataset, **wanted: Any) -> xr.Dataset:
    """The cells with these parameters, orthogonal weights, in the order of gamma."""
    chosen = data["init"].values == "orthogonal"
    for name, value in wanted.items():
        chosen &= data[name].values == value
    cells = np.flatnonzero(chosen)
    return data.isel(cell=cells[np.argsort(data["gamma"].values[cells], kind="stable")])


def _faint(data: xr.Dataset) -> xr.Dataset:
    """Without the cells that only look for the noise at which the linear theory breaks."""
    return data.isel(cell=np.flatnonzero(data["noise"].values == data["noise"].values.min()))


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of the mean over the first axis, (seed, n); NaN for a single seed."""
    count, mean = len(values), values.mean(axis=0)
    if count < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    error = values.std(axis=0, ddof=1) / np.sqrt(count)
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, count - 1) * error
    return mean - half, mean + half

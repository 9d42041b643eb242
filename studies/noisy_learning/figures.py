"""The pictures of study `noisy_learning`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, shades, styled
from analysis.statistics import over_repetitions
from circuit.errors import CircuitError
from studies.noisy_learning.findings import (
    chosen,
    controls,
    done,
    failures,
    learns,
    name_of,
    predicted,
    threshold,
    tolerated,
    usual,
    where,
)
from studies.noisy_learning.reading import BP, GAIT
from studies.noisy_learning.study import MIDDLE, TOP, WHOLE
from studies.noisy_learning.theory import averaged_noise, settling_time

NOT = float("nan")  # what is not there: another strength below the output
MILLISECONDS = 10.0  # a time constant
DURATIONS = np.geomspace(1, 1e5, 300)  # of averaging, in time constants
LEAST = 1e-6  # of the fluctuations shown
SHOWN = 100.0  # averaging time at which measured cells are marked
FAINT = 1e-3  # a predicted cosine below it is drawn there
MARKS = ("o", "s", "^", "D", "v")


# --- accuracy against strength ---


@styled
def strengths(data: xr.Dataset) -> Figure:
    """Accuracy against gamma, a panel for each noise, beside the controls."""
    lost, data = _lost(data), done(data)
    here = usual(data)
    noises = sorted({float(data["noise"].values[one]) for one in _uniform(data, here)})
    columns = min(3, len(noises))
    rows = -(-len(noises) // columns)
    size = (8.3, 2.7 * rows + 0.7)
    figure, grid = panels(rows, columns, figsize=size, sharey=True, sharex=True)
    flat = list(grid.flat)
    for axes, noise in zip(flat, noises, strict=False):
        _strengths(axes, data, here | {"noise": noise})
        axes.set_title(f"rates read with noise s = {noise:g}" if noise else "without noise")
    for axes in grid[-1]:
        axes.set_xlabel(r"feedback strength $\gamma$")
    for axes in grid[:, 0]:
        axes.set_ylabel("test accuracy (%)")
    handles = dict(
        pair[::-1] for axes in flat for pair in zip(*axes.get_legend_handles_labels(), strict=True)
    )
    if len(flat) > len(noises):
        flat[-1].set_axis_off()
        flat[-1].legend(handles.values(), handles.keys(), loc="center left", fontsize=8)
    else:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    words = "Test accuracy by feedback strength, for every noise with which rates are read"
    headline(figure, words + lost)
    return figure


def _lost(data: xr.Dataset) -> str:
    """A second line for a headline, of what failed; empty where nothing did."""
    count = len(failures(data))
    return f"\n(left out, since training failed: {count}; the table says what)" if count else ""


def _uniform(data: xr.Dataset, here: dict[str, str | float]) -> np.ndarray:
    return where(data, way=GAIT, below=NOT, readout="mismatch", **here)


def _strengths(axes: Axes, data: xr.Dataset, here: dict[str, str | float]) -> None:
    """One panel: the circuit at one strength, graded ones, back-propagation, both controls."""
    _, accuracy = chosen(data)
    cells = sorted(_uniform(data, here), key=lambda one: float(data["gamma"].values[one]))
    if cells:
        mean, half = over_repetitions(100 * accuracy[cells].T)
        axes.errorbar(
            data["gamma"].values[cells],
            mean,
            half,
            fmt="o-",
            color=COLOURS["gait"],
            capsize=2,
            label="circuit, one strength",
        )
    graded = [
        one
        for one in where(data, way=GAIT, readout="mismatch", **here)
        if np.isfinite(data["below"].values[one])
    ]
    colours = shades(5)[1:]
    every = where(data, way=GAIT, readout="mismatch")
    names = sorted({name_of(data, one) for one in every if np.isfinite(data["below"].values[one])})
    for cell in graded:
        name = name_of(data, cell)
        axes.plot(
            data["below"].values[cell],
            100 * accuracy[cell].mean(),
            MARKS[1 + names.index(name) % 4],
            color=colours[names.index(name) % 4],
            mec="black",
            label="graded: " + name.partition(", ")[2],
        )
    for found, name, dash in (
        (where(data, way=BP, layers=WHOLE, **here), "back-propagation, same noise", "-"),
        (
            where(data, way=BP, **(here | {"depth": 0.0, "noise": 0.0})),
            "no hidden layer, no noise",
            "--",
        ),
        (
            where(data, way=BP, layers=TOP, **(here | {"noise": 0.0})),
            "frozen hidden layers, no noise",
            ":",
        ),
    ):
        if len(found):
            colour = COLOURS["bp"] if dash == "-" else COLOURS["grey"]
            axes.axhline(100 * accuracy[found[0]].mean(), color=colour, ls=dash, label=name)
    axes.set_xscale("log")
    axes.set_ylim(0, 100)


# --- prediction beside measurement ---


@styled
def prediction(data: xr.Dataset) -> Figure:
    """Accuracy against the predicted cosine, from the networks before and after learning."""
    lost, data = _lost(data), done(data)
    figure, ((first, second),) = panels(1, 2, figsize=(8.3, 4.3), sharey=True)
    here = usual(data)
    for axes, moment in ((first, "before"), (second, "after")):
        _predicted(axes, data, here, moment)
    first.set_ylabel("test accuracy less that of\nback-propagation without noise (points)")
    first.set_title("predicted before learning")
    second.set_title("predicted at the weights of back-propagation")
    figure.legend(*second.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    headline(figure, "How far noise leaves the direction, predicted and learnt" + lost)
    return figure


def _predicted(axes: Axes, data: xr.Dataset, here: dict[str, str | float], moment: str) -> None:
    cosine, (_, accuracy) = np.maximum(predicted(data, moment), FAINT), chosen(data)
    kinds: dict[str, list[int]] = {}
    for cell in where(data, dataset=here["dataset"], layers=WHOLE):
        if data["way"].values[cell] != BP and np.isfinite(_free(data, cell, accuracy)):
            kinds.setdefault(_kind(data, cell, here), []).append(int(cell))
    for mark, colour, (kind, cells) in zip(
        "osD^vP", [*shades(4), COLOURS["itp"], COLOURS["brian2"]], sorted(kinds.items()),
        strict=False,
    ):  # fmt: skip
        lost = [100 * (accuracy[one].mean() - _free(data, one, accuracy)) for one in cells]
        axes.plot(cosine[cells], lost, mark, color=colour, label=kind, alpha=0.85)
    axes.axhline(0, color=COLOURS["bp"], lw=1)
    axes.set_xscale("log")
    if np.isfinite(bar := threshold(data, moment)):
        axes.axvline(bar, color=COLOURS["grey"], ls=":")
    else:  # without points there is no scale
        axes.set_xlim(FAINT, 1)
    axes.set_xlabel("predicted cosine with back-propagation,\nlayer of which it is least")


def _free(data: xr.Dataset, cell: int, accuracy: np.ndarray) -> float:
    """Mean accuracy of back-propagation without noise in the setting of a cell."""
    same = {name: data[name].values[cell] for name in ("dataset", "depth", "epochs", "batch")}
    found = where(data, way=BP, noise=0.0, layers=WHOLE, **same)
    return float(accuracy[found[0]].mean()) if len(found) else NOT


def _kind(data: xr.Dataset, cell: int, here: dict[str, str | float]) -> str:
    """What a cell varies beside strength and noise."""
    for name, words in (
        ("depth", "hidden layers"),
        ("epochs", "epochs"),
        ("batch", "images a batch"),
    ):
        value = float(data[name].values[cell])
        if value != here[name]:
            return f"{value:g} {words}"
    if data["way"].values[cell] != GAIT or data["readout"].values[cell] != "mismatch":
        return "other pathways, shift"
    return f"{here['depth']:g} hidden layers, {here['epochs']:g} epochs"


# --- the answer ---


@styled
def answer(data: xr.Dataset) -> Figure:
    """The noise at which a circuit still learns, against the time that an image takes."""
    lost, data = _lost(data), done(data)
    figure, ((axes,),) = panels(figsize=(8.3, 5.2))
    here = usual(data)
    most = tolerated(data, threshold(data))
    if not np.isfinite(most).any():
        raise CircuitError("nothing is predicted of two circuits or more; the table says why")
    weak = _weak(data, here)
    depths = sorted({float(one) for one in data["depth"].values if one > 0})
    for mark, colour, depth in zip(MARKS, shades(len(depths)), depths, strict=False):
        cells = [one for one in _measured(data, here | {"depth": depth}) if np.isfinite(most[one])]
        if not cells:
            continue
        best = max(cells, key=lambda one: most[one])
        faint = [one for one in cells if data["gamma"].values[one] == weak]
        words = f"{depth:g} hidden layer{'s' if depth > 1 else ''}"
        for cell, dash in ((best, "-"), *((one, "--") for one in faint)):
            label = f"{words}: $\\gamma$ = {name_of(data, cell).partition(', ')[2]}"
            time, sigma = border(data, cell, most[cell])
            label += " (below the axis)" if sigma.max() < LEAST else ""
            axes.loglog(time, sigma, ls=dash, color=colour, label=label, lw=2)
        _marks(axes, data, here | {"depth": depth}, best, mark, colour)
    axes.set(
        xlabel=r"time of an image with its label: settling and averaging (time constants $\tau$)",
        ylabel=r"fluctuation of a rate $\sigma$" "\n(of the rates' root mean square)",
    )
    above = axes.secondary_xaxis(
        "top", functions=(lambda t: t * MILLISECONDS, lambda t: t / MILLISECONDS)
    )
    above.set_xlabel(r"the same in ms for $\tau$ = 10 ms")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    axes.set_ylim(LEAST, 10)
    words = "Below a line a circuit learns what it cannot without its hidden layers"
    headline(figure, words + lost)
    return figure


def _measured(data: xr.Dataset, here: dict[str, str | float]) -> Sequence[int]:
    return [int(one) for one in where(data, way=GAIT, readout="mismatch", noise=MIDDLE, **here)]


def _weak(data: xr.Dataset, here: dict[str, str | float]) -> float:
    """The weakest strength of all layers that networks of every depth have."""
    found = where(data, way=GAIT, below=NOT, noise=MIDDLE, dataset=here["dataset"])
    every = {float(data["depth"].values[one]) for one in found}
    values = sorted({float(data["gamma"].values[one]) for one in found})
    for gamma in values:
        if {
            float(data["depth"].values[one]) for one in found if gamma == data["gamma"].values[one]
        } == every:
            return gamma
    return values[0]


def _of(data: xr.Dataset, cell: int) -> tuple[float, ...]:
    """gamma_1 .. gamma_L of a cell."""
    gamma, below = (float(data[name].values[cell]) for name in ("gamma", "below"))
    return (*[gamma if np.isnan(below) else below] * int(data["depth"].values[cell]), gamma)


def border(data: xr.Dataset, cell: int, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Time of an image, and the fluctuation of a rate that leaves the noise `most`; both of the
    mismatch, for which image and label are shown together once.
    """
    ready, rates = _ready(data, cell)
    left = np.array([averaged_noise(1.0, one) for one in DURATIONS])
    return ready + DURATIONS, most / rates / left


def _ready(data: xr.Dataset, cell: int) -> tuple[float, float]:
    """Settling time of a cell's circuit, in tau, and the root mean square of its rates."""
    error, rates = (float(data[name].sel(moment="after")[cell]) for name in SIZES)
    return settling_time(_of(data, cell), "mismatch", error / rates), rates


def _marks(
    axes: Axes,
    data: xr.Dataset,
    here: dict[str, str | float],
    best: int,
    mark: str,
    colour: np.ndarray,
) -> None:
    """Measured cells of one strength: filled where they learn, open where they do not; none that
    lacks a control.
    """
    same = {name: data[name].values[best] for name in ("gamma", "below", "way", "readout")}
    ready, rates = _ready(data, best)
    time = ready + SHOWN
    right = learns(data)
    for cell in where(data, **(here | same)):
        noise = float(data["noise"].values[cell])
        if noise > 0 and np.isfinite(controls(data, cell)).all():
            face = colour if right[cell] else "none"
            sigma = noise / rates / averaged_noise(1.0, SHOWN)
            axes.plot(time, sigma, mark, mec=colour, mfc=face, ms=9, mew=1.5)


SIZES = ("output_error", "rate_size")
NEEDED = ("test_accuracy", "validation_accuracy", "along", "size", "noise_size", "images")
FIGURES: Drawings = {
    "noisy_learning_strength": (NEEDED, strengths),
    "noisy_learning_prediction": (NEEDED, prediction),
    "noisy_learning_answer": ((*NEEDED, *SIZES), answer),
}

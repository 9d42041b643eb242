"""Pictures of figures "claim" and "longer": differences from back-propagation, seed by seed, and
what more epochs change.

Owns how these are drawn. Does not own the differences and verdicts (`claim`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Figure, headline, panels, styled
from analysis.comparison import LEVEL_WITH, NAMES, REFERENCE
from analysis.statistics import FEWEST
from studies.paper_figures.claim import (
    MARGIN,
    MOMENTS,
    Contest,
    Entrant,
    contests,
    verdict,
)

SHAPES = {"peak": "o", "chosen epoch": "s", "end": "^"}
TICKS = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 20, 30, 50, 80)  # test errors in %
FARTHEST = 1.5  # percentage points that are drawn to scale; what is farther is written


@styled
def differences(data: xr.Dataset) -> Figure:
    """Test accuracy less that of BP with the same lambda: each seed, means and 95 % intervals."""
    rows = [(contest, one) for contest in contests(data) for one in _compared(contest)]
    figure, ((axes,),) = panels(1, 1, figsize=(8.6, 1.9 + 0.62 * max(1, len(rows))))
    reach = 100 * MARGIN
    axes.axvspan(-reach, reach, color=COLOURS["grey"], alpha=0.18, lw=0)
    axes.axvline(0, color=COLOURS["grey"], lw=0.8)
    labels = []
    for place, (contest, one) in enumerate(rows):
        _row(axes, place, contest, one)
        images, layers = contest.heading.split(", ")
        labels.append(f"{one.name}\n{images}, {'full width' if contest.full_width else layers}")
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-FARTHEST, FARTHEST)
    names = {contest.reference.name for contest, _ in rows if contest.reference is not None}
    less = " or ".join(names) or "BP, with which nothing is compared"
    axes.set_xlabel(f"test accuracy less that of {less} (percentage points)")
    for moment, shape in SHAPES.items():
        axes.plot([], [], shape, color="black", ms=6, ls="", label=moment)
    axes.plot([], [], "o", color="black", mfc="none", ms=4, alpha=0.6, ls="", label="one seed")
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    headline(figure, _heading(data))
    return figure


def _compared(contest: Contest) -> Iterator[Entrant]:
    """The entrants of which there is a difference to be shown."""
    reference = contest.reference
    for one in contest.entrants:
        if reference is None or one is reference:
            continue
        if any(contest.difference(one, reference, name).pairs for name in MOMENTS):
            yield one


def _row(axes: Axes, place: int, contest: Contest, one: Entrant) -> None:
    """One entrant: its three differences below one another."""
    colour = COLOURS[one.rule]
    for number, (name, moment) in enumerate(MOMENTS.items()):
        at = place + 0.24 * (number - 1)
        assert contest.reference is not None
        found = contest.difference(one, contest.reference, name)
        each = 100 * np.array(found.each)
        if not found.pairs:
            continue
        mean = 100 * found.mean
        if abs(mean) > FARTHEST:
            side = np.sign(mean)
            axes.annotate(
                f"{mean:+.1f}",
                (side * FARTHEST, at),
                (side * FARTHEST * 0.88, at),
                arrowprops={"arrowstyle": "->", "color": colour},
                va="center",
                ha="right" if side > 0 else "left",
                fontsize=8,
            )
            continue
        axes.plot(each, [at] * len(each), SHAPES[moment], color=colour, mfc="none", ms=4, alpha=0.6)
        if found.pairs >= FEWEST:
            axes.errorbar(
                [mean],
                [at],
                xerr=[100 * found.half],
                fmt=SHAPES[moment],
                color=colour,
                ms=7,
                capsize=3,
                lw=1.3,
            )


def _heading(data: xr.Dataset) -> str:
    """Where rules are level with BP, how many runs are in, and what the grey band is."""
    finished = int(np.sum(data["status"].values == "completed"))
    epochs = int(np.max(data["epochs"].values))
    lines = [
        f"{finished} of {data.sizes['cell']} runs finished, {epochs} epochs each; with 95 % "
        "intervals where there are three seeds or more",
        f"(grey: within {100 * MARGIN:g} points, the margin of equivalence)",
    ]
    return "\n".join([*_message(data), *lines])


def _message(data: xr.Dataset) -> list[str]:
    """In how many networks each rule is level with BP at the peak, of those with the lambda of BP
    and three seeds or more; nothing where there are none.
    """
    peak = next(iter(MOMENTS))
    verdicts: dict[str, list[str]] = {}
    for contest in contests(data):
        reference = contest.reference
        for one in _compared(contest):
            if reference is None or one.strength != reference.strength:
                continue
            found = contest.difference(one, reference, peak)
            if found.pairs >= FEWEST:
                verdicts.setdefault(one.rule, []).append(verdict(found))
    level = [
        f"{NAMES[rule]} in {words.count(LEVEL_WITH)} of {len(words)}"
        for rule, words in verdicts.items()
    ]
    within = f"level with BP within {100 * MARGIN:g} points"
    return [f"Networks in which peaks are {within}: {', '.join(level)}"] if level else []


@styled
def curves(data: xr.Dataset) -> Figure:
    """Test error by epoch of one seed, within epochs too."""
    figure, ((axes,),) = panels(1, 1, figsize=(8.0, 4.0))
    there = [place for place, word in enumerate(data["status"].values) if word == "completed"]
    for place in there:
        run = data.isel(cell=place)
        rule = str(run["rule"].item())
        last = int(run["epochs"])
        within = run["test_accuracy_within"].dropna("step")
        epochs = within["step"].values / within["step"].values[-1] * last
        wide = rule == REFERENCE
        axes.plot(
            epochs,
            100 * (1 - within.values),
            color=COLOURS[rule],
            lw=4.0 if wide else 1.2,
            alpha=0.5 if wide else 1.0,
            label=f"{NAMES[rule]}, lambda {float(run['orthogonality']):g}",
        )
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("epoch")
    axes.set_ylabel("test error (%)")
    if there:
        axes.legend(fontsize=9)
        every = int(data["test_every"].values[0])
        seed = int(data["seed"].values[there[0]])
        headline(
            figure,
            f"Test error every {every} batches, seed {seed}: {len(there)} of "
            f"{data.sizes['cell']} runs finished",
        )
    return figure

"""Pictures of figures "claim" and "longer": differences from back-propagation, seed by seed, and
what more epochs change.

Owns how these are drawn. Does not own the differences and verdicts (`claim`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Figure, headline, panels, styled
from analysis.comparison import LEVEL_WITH, NAMES, REFERENCE, Difference
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
LOW = 0.6  # height of a row in which nothing is drawn to scale, of that of another


@styled
def differences(data: xr.Dataset) -> Figure:
    """Test accuracy less that of BP with the same lambda: each seed, means and 95 % intervals."""
    rows = [(contest, one) for contest in contests(data) for one in _compared(contest)]
    heights = np.array([LOW if _far(*row) else 1.0 for row in rows])
    places = np.cumsum(heights) - 0.5 * (1.0 + heights)
    tall = float(heights.sum())
    figure, ((axes,),) = panels(1, 1, figsize=(8.6, 1.9 + 0.62 * max(1.0, tall)))
    reach = 100 * MARGIN
    axes.axvspan(-reach, reach, color=COLOURS["grey"], alpha=0.18, lw=0)
    axes.axvline(0, color=COLOURS["grey"], lw=0.8)
    labels = []
    for place, (contest, one) in zip(places.tolist(), rows, strict=True):
        draw = _far_row if _far(contest, one) else _row
        draw(axes, place, contest, one)
        images, layers = contest.heading.split(", ")
        labels.append(f"{one.name}\n{images}, {'full width' if contest.full_width else layers}")
    axes.set_yticks(places, labels, fontsize=9)
    axes.set_ylim(tall - 0.4, -0.6)
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


def _found(contest: Contest, one: Entrant) -> Iterator[tuple[str, Difference]]:
    """Its differences from the reference, by the moment at which there is one."""
    assert contest.reference is not None
    for name, moment in MOMENTS.items():
        found = contest.difference(one, contest.reference, name)
        if found.pairs:
            yield moment, found


def _far(contest: Contest, one: Entrant) -> bool:
    """Whether no mean difference lies where it is drawn to scale."""
    return all(abs(100 * found.mean) > FARTHEST for _, found in _found(contest, one))


def _far_row(axes: Axes, place: float, contest: Contest, one: Entrant) -> None:
    """One entrant that is far from the reference: its differences in words."""
    found = dict(_found(contest, one))
    means = [100 * each.mean for each in found.values()]
    words = ", ".join(f"{mean:+.1f}" for mean in means)
    _arrow(axes, place, f"{words} ({', '.join(found)})", means[0], COLOURS[one.rule])


def _row(axes: Axes, place: float, contest: Contest, one: Entrant) -> None:
    """One entrant: its three differences below one another."""
    colour = COLOURS[one.rule]
    for moment, found in _found(contest, one):
        at = place + 0.24 * (list(SHAPES).index(moment) - 1)
        each, mean = 100 * np.array(found.each), 100 * found.mean
        if abs(mean) > FARTHEST:
            _arrow(axes, at, f"{mean:+.1f}", mean, colour)
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


def _arrow(axes: Axes, at: float, words: str, mean: float, colour: str) -> None:
    """Out of the picture on the side on which `mean` lies."""
    side = np.sign(mean)
    axes.annotate(
        words,
        (side * FARTHEST, at),
        (side * FARTHEST * 0.88, at),
        arrowprops={"arrowstyle": "->", "color": colour},
        va="center",
        ha="right" if side > 0 else "left",
        fontsize=8,
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
    """Test error of one seed as often as it was looked at, and the best so far, of which the peak
    is the last; what the second half of the epochs adds to it stands in the title. From the end of
    the first epoch on, before which errors are so much larger that nothing else would be seen.
    """
    figure, ((axes,),) = panels(1, 1, figsize=(8.0, 4.4))
    there = [place for place, word in enumerate(data["status"].values) if word == "completed"]
    gains = []
    for place in there:
        run = data.isel(cell=place)
        rule = str(run["rule"].item())
        last = int(run["epochs"])
        within = run["test_accuracy_within"].dropna("step")
        epochs = within["step"].values / within["step"].values[-1] * last
        errors = 100 * (1 - within.values)
        best = np.minimum.accumulate(errors)
        shown = epochs >= 1
        wide = rule == REFERENCE
        axes.plot(epochs[shown], errors[shown], color=COLOURS[rule], lw=0.5, alpha=0.35)
        axes.plot(
            epochs[shown],
            best[shown],
            color=COLOURS[rule],
            lw=4.0 if wide else 1.6,
            alpha=0.6 if wide else 1.0,
            label=f"{NAMES[rule]}, lambda {float(run['orthogonality']):g}",
        )
        half = best[epochs <= max(1, last // 2)]
        added = f" ({half[-1] - best[-1]:+.2f})" if half.size else ""
        gains.append(f"{NAMES[rule]} {100 - best[-1]:.2f}{added}")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("epoch")
    axes.set_ylabel("test error (%)")
    if there:
        axes.legend(fontsize=9)
        last, every = (int(data[name].values[there[0]]) for name in ("epochs", "test_every"))
        lines = [
            f"Peak test accuracy of {last} epochs in % (and what the second half of them adds):",
            ", ".join(gains),
            f"seed {int(data['seed'].values[there[0]])}, {len(there)} of {data.sizes['cell']} runs "
            f"finished; thin: every {every} batches, bold: the best so far",
        ]
        headline(figure, "\n".join(lines))
    return figure

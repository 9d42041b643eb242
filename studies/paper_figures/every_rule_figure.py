"""The pictures of figures "bench" and "bench_grid"."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Figure, control_lines, headline, panels, styled
from analysis.comparison import AHEAD, BEHIND, DATASETS, LEVEL_WITH, MARGIN, OPEN, REFERENCE
from analysis.controls import CONTROLS
from circuit.records.brief import counted
from studies.paper_figures.every_rule_findings import (
    Learnt,
    best_of_bench_grid,
    learnt,
    names_of,
)

INKS = {
    LEVEL_WITH: COLOURS["gait"],
    BEHIND: COLOURS["itp"],
    AHEAD: COLOURS["bp"],
    OPEN: COLOURS["grey"],
}
MARKS = {LEVEL_WITH: "o", BEHIND: "v", AHEAD: "^", OPEN: "s"}
SHOWN = 30.0  # points behind from which on a rule stands at the edge


@styled
def bench(data: xr.Dataset) -> Figure:
    """Test accuracy of every rule minus back-propagation's, a panel a data set; and what a step
    takes over back-propagation's.

    Wants `test_accuracy_chosen`, `settled` and `step_over_bp`.
    """
    found = list(learnt(data))
    datasets = list(dict.fromkeys(one.dataset for one in found))
    rules = [str(rule) for rule in dict.fromkeys(data["rule"].values.tolist())]
    rows = {rule: -place for place, rule in enumerate(rules)}
    figure, (grid,) = panels(
        1,
        len(datasets) + 1,
        figsize=(8.3, 1.6 + 0.27 * len(rules)),
        sharey=True,
        gridspec_kw={"width_ratios": [1.6] * len(datasets) + [1.0]},
    )
    for axes, dataset in zip(grid, datasets, strict=False):
        axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=COLOURS["grey"], alpha=0.15, lw=0)
        axes.axvline(0, color=COLOURS["grey"], lw=0.8)
        for one in found:
            if one.dataset == dataset and one.rule != REFERENCE and one.against.pairs:
                _difference(axes, rows[one.rule], one)
        control_lines(
            axes,
            {
                one.rule: 100 * one.against.mean
                for one in found
                if one.dataset == dataset and one.rule in CONTROLS
            },
            upright=True,
        )
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -SHOWN - 2), min(high, SHOWN + 2))
        epochs = int(data["epochs"].values[data["dataset"].values == dataset][0])
        axes.set_title(f"{DATASETS.get(dataset, dataset)}, {counted(epochs, 'epoch')}")
        axes.set_xlabel("test accuracy\nminus BP's (points)")
    last = grid[-1]
    ratios = np.asarray(data["step_over_bp"].values, dtype=float)
    heights = [rows[str(rule)] for rule in data["timed"].values]
    last.plot(ratios, heights, "D", ms=4, color="black")
    last.set_xscale("log")
    last.axvline(1, color=COLOURS["grey"], lw=0.8)
    last.set_xlabel("time of a step\nover BP's")
    grid[0].set_yticks(list(rows.values()), names_of(rules))
    for verdict, ink in INKS.items():
        grid[0].plot([], [], MARKS[verdict], color=ink, label=verdict)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    seeds = len(np.unique(data["seed"].values))
    widths = sorted({int(width) for width in data["width"].values})
    size = ", ".join(f"3 x {width}" for width in widths)
    headline(
        figure,
        f"Test accuracy by every rule against back-propagation, seed by seed\n({size} tanh units, "
        f"{seeds} seeds, 95 % intervals; grey: within one point; "
        "an arrow: further than shown)",
    )
    return figure


def _difference(axes: Axes, row: int, one: Learnt) -> None:
    """A point with its interval; an arrow at the edge where it lies beyond."""
    verdict = one.against.verdict()
    mean, half = 100 * one.against.mean, 100 * np.nan_to_num(one.against.half)
    ink: dict[str, Any] = {"color": INKS[verdict], "ms": 5}
    if abs(mean) > SHOWN:
        axes.plot([np.copysign(SHOWN, mean)], [row], "<" if mean < 0 else ">", **ink)
    else:
        axes.errorbar([mean], [row], xerr=[half], fmt=MARKS[verdict], lw=1.2, capsize=2, **ink)


@styled
def bench_grid(data: xr.Dataset) -> Figure:
    """Validation accuracy of every rule by learning rate and strength: all runs, the best marked.

    Wants `validation_accuracy_chosen`.
    """
    rules = [str(rule) for rule in dict.fromkeys(data["rule"].values.tolist())]
    best = best_of_bench_grid(data)
    figure, ((axes,),) = panels(1, 1, figsize=(8.3, 1.6 + 0.27 * len(rules)))
    rates = np.unique(data["learning_rate"].values)
    inks = [COLOURS[name] for name in ("gait", "itp", "bp", "tp")]
    for place, rule in enumerate(rules):
        part = data.isel(cell=data["rule"].values == rule)
        for number, rate in enumerate(rates):
            runs = part.isel(cell=part["learning_rate"].values == rate)
            values = 100 * runs["validation_accuracy_chosen"].values
            ink = inks[number % len(inks)]
            label = f"learning rate {rate:g}" if place == 0 else None
            axes.plot(values, [-place] * len(values), "o", ms=4, color=ink, label=label)
        if rule in best:
            axes.plot([100 * best[rule][2]], [-place], "o", ms=10, mfc="none", color="black")
    axes.set_yticks([-place for place in range(len(rules))], names_of(rules))
    axes.set_xlabel("validation accuracy at the chosen epoch (%)")
    axes.legend(fontsize=8.5, loc="upper left")
    seeds = len(np.unique(data["seed"].values))
    headline(
        figure,
        "Validation accuracy by learning rate and each rule's own strength; circled: the best"
        f"\n(several dots of a colour: strengths; {int(data['epochs'].values[0])} epochs, "
        f"{seeds} seed{'s' if seeds > 1 else ''})",
    )
    return figure

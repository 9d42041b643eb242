"""The picture of the regulariser applied now and then: what becomes of accuracy.

Owns the picture that `run_figures` draws from `every.nc`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import xarray as xr

from analysis import canvas
from analysis.canvas import COLOURS, Figure, headline, panels, styled
from analysis.comparison import DATASETS, MARGIN, NAMES, interval_groups, paired_difference

MARKERS = canvas.MARKERS | {"circuit": "x"}


@styled
def intervals(data: xr.Dataset) -> Figure:
    """Test accuracy with the regulariser in every k-th step, less that with it in every step, one
    panel a data set.
    """
    found = interval_groups(data)
    datasets = list(dict.fromkeys(dataset for dataset, _ in found))
    figure, (grid,) = panels(1, max(1, len(datasets)), figsize=(9.0, 3.6), sharey=True)
    losses: dict[int, list[float]] = {}
    for axes, dataset in zip(grid, datasets, strict=False):
        mine = {rule: runs for (name, rule), runs in found.items() if name == dataset}
        steps = sorted({every for runs in mine.values() for every in runs if every > 1})
        axes.axhspan(-100 * MARGIN, 100 * MARGIN, color=COLOURS["grey"], alpha=0.15, lw=0)
        axes.axhline(0, color=COLOURS["grey"], lw=0.8)
        for (number, rule), (place, every) in product(enumerate(mine), enumerate(steps)):
            by_every = mine[rule]
            if every not in by_every:
                continue
            difference = paired_difference(
                by_every[every]["test_accuracy_chosen"].values,
                by_every[1]["test_accuracy_chosen"].values,
            )
            losses.setdefault(every, []).append(100 * difference.mean)
            axes.errorbar(
                [place + 0.15 * (number - (len(mine) - 1) / 2)],
                [100 * difference.mean],
                yerr=np.nan_to_num([100 * difference.half]),
                fmt=MARKERS[rule],
                color=COLOURS[rule],
                ms=6,
                lw=1.2,
                capsize=2,
                label=NAMES[rule] if every == min({*by_every} - {1}) else None,
            )
        axes.set_xticks(range(len(steps)), [f"k = {every}" for every in steps])
        axes.set_xlim(-0.55, len(steps) - 0.45)
        axes.set_title(DATASETS[dataset])
    grid[0].set_ylabel("test accuracy less that with k = 1\n(percentage points)")
    if losses:
        grid[-1].legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ends = {
        every: dict.fromkeys(f"{gap:+.1f}" for gap in (min(gaps), max(gaps)))
        for every, gaps in losses.items()
    }
    said = "; ".join(f"k = {every}: {' to '.join(both)}" for every, both in ends.items())
    seeds = len(np.unique(data["seed"].values))
    headline(
        figure,
        "The pull towards orthogonal weights in every k-th step, k times as strong, against every "
        f"step,\nin points: {said} (grey: within {100 * MARGIN:g} point; {seeds} seeds, "
        "95 % intervals)",
    )
    return figure

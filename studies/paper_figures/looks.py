"""How much a peak owes to how often test images were looked at.

Owns the peaks of figure "longer" over fewer looks than were taken, and their table. A peak is the
largest accuracy that was seen on test images, and so the larger the oftener one looks; the paper
looks every 10 batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import xarray as xr

from analysis.statistics import told
from studies.paper_figures.claim import Contest, contests, table
from studies.paper_figures.findings import figure_findings

FEWER = 10  # one look where there were so many


def longer_findings(data: xr.Dataset) -> list[str]:
    """The tables of `figure_findings`, and one of peaks by how often test images were looked at."""
    lines = figure_findings(data)
    for contest in contests(data):
        spacings = _spacings(contest.data)
        if spacings:
            columns = ("rule", "epochs", *(_words(n, spacings) for n in spacings))
            words = f"{contest.heading}; peak in % by how often test images were looked at "
            lines += ["", f"{words}(minus BP in points):", ""]
            lines += table(columns, list(_rows(contest, spacings)))
    return lines


def peaks(data: xr.Dataset, every: int, last: int) -> np.ndarray:
    """The largest accuracies seen if test images had been looked at after every so many batches of
    an epoch, and at its end, up to epoch `last`; `(cells,)`, NaN where there is none.
    """
    step, batches = data["step"].values, _batches(data)
    taken = (step % batches % every == 0) & (step <= last * batches)
    return np.asarray(np.fmax.reduce(data["test_accuracy_within"].values[:, taken], axis=-1))


def _batches(data: xr.Dataset) -> int:
    """Batches of an epoch; 0 where no run came to its end."""
    ended = np.flatnonzero(data["status"].values == "completed")
    if not ended.size:
        return 0
    seen = data["test_accuracy_within"].isel(cell=ended[0]).dropna("step")["step"].values
    return int(seen[-1]) // int(data["epochs"].values[ended[0]])


def _spacings(data: xr.Dataset) -> list[int]:
    """Batches from one look to the next, as they were and fewer; last at the ends of epochs."""
    every, batches = int(data["test_every"].values[0]), _batches(data)
    return [n for n in (every, FEWER * every) if n < batches] + [batches] * (batches > 0)


def _words(every: int, spacings: list[int]) -> str:
    if every == spacings[-1]:
        return "ends of epochs"
    return f"every {every} batches" if every > 1 else "every batch"


def _rows(contest: Contest, spacings: list[int]) -> Iterator[list[str]]:
    """For every rule its peaks within all epochs, and within the first half of them."""
    epochs, reference = int(contest.data["epochs"].values[0]), contest.reference
    for last in sorted({max(1, epochs // 2), epochs}):
        found = {every: peaks(contest.data, every, last) for every in spacings}
        for one in contest.entrants:
            words = []
            for values in found.values():
                of = partial(contest.of_cells, values)
                text = told(100 * of(one), ".2f", ".2f")
                if reference is not None and one is not reference:
                    text += f" ({told(100 * (of(one) - of(reference)), '+.2f', '.2f')})"
                words.append(text)
            yield [one.name, f"1 to {last}", *words]

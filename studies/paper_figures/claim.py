"""Does GAIT-prop learn as well as back-propagation? What the runs of figure "claim" say.

Owns the differences from back-propagation seed by seed, their verdicts and tables. Does not own
which runs there are (`study`), the tests (`analysis.equivalence`), nor the picture
(`claim_figure`).

The reference is back-propagation with the lambda of the rules that it is compared with, so that
nothing differs but the rule; back-propagation without lambda is one more entrant. A difference
is *level* if two one-sided tests, each of size 0.05, place its mean within `MARGIN`; else *behind*
or *ahead* if its 95 % interval excludes zero; else *undecided*. With a single seed there is nothing
to be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.comparison import (
    AHEAD,
    BEHIND,
    DATASETS,
    LEVEL_WITH,
    NAMES,
    OPEN,
    REFERENCE,
    Difference,
    paired_difference,
)
from analysis.equivalence import SIZE, repetitions_needed, two_one_sided
from analysis.statistics import told

MARGIN = 0.003  # 0.3 percentage points: 30 of 10000 test images
MOMENTS = {  # name of the variable -> when an accuracy on test images is taken
    "test_accuracy_peak_within": "peak",
    "test_accuracy_chosen": "chosen epoch",
    "test_accuracy_end": "end",
}
UNTOLD = "one seed"  # verdict where there is nothing to estimate a spread from


@dataclass(frozen=True, eq=False)
class Entrant:
    """The runs of one rule with one lambda.

    Attributes
    ----------
    rule : of `analysis.comparison.NAMES`
    name : as in tables and pictures
    learning_rate, strength : of all its runs; strength is lambda
    cells : seed -> place in the dataset
    """

    rule: str
    name: str
    learning_rate: float
    strength: float
    cells: dict[int, int]


@dataclass(frozen=True, eq=False)
class Contest:
    """Entrants with the same images and layers.

    Attributes
    ----------
    data : all runs, along `cell`
    dataset, widths : what the entrants share
    entrants : in the order in which they are trained
    """

    data: xr.Dataset
    dataset: str
    widths: str
    entrants: tuple[Entrant, ...]

    @property
    def heading(self) -> str:
        """The data set as it is written, and the layers."""
        return f"{DATASETS[self.dataset]}, {self.widths}"

    @property
    def full_width(self) -> bool:
        """Whether all layers are equally wide."""
        return len(set(self.widths.split("-"))) == 1

    @property
    def reference(self) -> Entrant | None:
        """Back-propagation with the lambda of the first rule that it is compared with."""
        others = [one.strength for one in self.entrants if one.rule != REFERENCE]
        same = (one for one in self.entrants if one.rule == REFERENCE)
        return next((one for one in same if others and one.strength == others[0]), None)

    @property
    def uncompared(self) -> str:
        """Why nothing is held against back-propagation, in one line; empty where something is."""
        others = [one for one in self.entrants if one.rule != REFERENCE]
        same = [f"{one.strength:g}" for one in self.entrants if one.rule == REFERENCE]
        if self.reference is not None:
            return ""
        why = "there are no runs of BP" if others else "there are runs of BP alone"
        if others and same:
            why = f"{others[0].name}, and BP has lambda {' and '.join(same)}"
        return f"{self.heading}: nothing is compared with BP: {why}; add bp and gait to --rules"

    @property
    def unregularised(self) -> Entrant | None:
        """Back-propagation without lambda."""
        return next(
            (one for one in self.entrants if one.rule == REFERENCE and one.strength == 0), None
        )

    @property
    def seeds(self) -> list[int]:
        """All seeds of its cells, finished or not."""
        return sorted({seed for one in self.entrants for seed in one.cells})

    def values(self, entrant: Entrant, name: str) -> np.ndarray:
        """A number of every seed, NaN where it is missing, `(seeds,)`."""
        return self.of_cells(np.asarray(self.data[name].values, dtype=float), entrant)

    def of_cells(self, column: np.ndarray, entrant: Entrant) -> np.ndarray:
        """As `values`, of a column with a number for every cell."""
        places = [entrant.cells.get(seed) for seed in self.seeds]
        return np.array([np.nan if place is None else column[place] for place in places])

    def difference(self, one: Entrant, other: Entrant, name: str) -> Difference:
        """Of the seeds that both have."""
        return paired_difference(self.values(one, name), self.values(other, name))


def contests(data: xr.Dataset) -> list[Contest]:
    """The runs by images and layers; none where no run is finished."""
    if not all(name in data for name in MOMENTS):
        return []
    keys = list(zip(data["dataset"].values.tolist(), data["widths"].values.tolist(), strict=True))
    found = []
    for key in dict.fromkeys(keys):
        places = [place for place, one in enumerate(keys) if one == key]
        entrants = tuple(_entrants(data, places))
        found.append(Contest(data, str(key[0]), str(key[1]), entrants))
    return found


def _entrants(data: xr.Dataset, places: Sequence[int]) -> Iterator[Entrant]:
    by_kind: dict[tuple[str, str, float, float], dict[int, int]] = {}
    for place in places:
        run = data.isel(cell=place)
        pathway = str(run["pathway"].item()) if run["rule"].item() == "circuit" else ""
        numbers = float(run["learning_rate"]), float(run["orthogonality"])
        kind = str(run["rule"].item()), pathway, *numbers
        by_kind.setdefault(kind, {})[int(run["seed"])] = place
    for (rule, pathway, rate, strength), cells in by_kind.items():
        name = f"{NAMES[rule]} ({pathway.upper()} pathway)" if pathway else NAMES[rule]
        yield Entrant(rule, f"{name}, lambda {strength:g}", rate, strength, cells)


def verdict(difference: Difference) -> str:
    """One word for what the seeds allow one to say."""
    if difference.pairs < 2:
        return UNTOLD if difference.pairs else "-"
    if two_one_sided(difference.each, MARGIN) < SIZE:
        return LEVEL_WITH
    if difference.mean + difference.half < 0:
        return BEHIND
    return AHEAD if difference.mean - difference.half > 0 else OPEN


def claim_findings(data: xr.Dataset) -> list[str]:
    """For every contest its accuracies, and the differences with their verdicts, in Markdown; or
    why there are none.
    """
    lines = []
    for contest in contests(data):
        planned = sum(len(one.cells) for one in contest.entrants)
        done = sum(
            int(np.isfinite(contest.values(one, "test_accuracy_end")).sum())
            for one in contest.entrants
        )
        lines += [f"{contest.heading}; {done} of {planned} runs finished", ""]
        for columns, rows in (
            (_ACCURACIES, list(_accuracies(contest))),
            (_DIFFERENCES, list(_differences(contest))),
        ):
            lines += [*table(columns, rows), ""] if rows else []
        lines += [contest.uncompared, ""] if contest.uncompared else []
    return lines


_ACCURACIES = ("rule", "learning rate", "seeds", "peak", "chosen epoch", "end", "training, peak")
_DIFFERENCES = ("rule", "minus", "at", "seeds", "difference", "p", "so", "seeds that would decide")


def _accuracies(contest: Contest) -> Iterator[list[str]]:
    for one in contest.entrants:
        columns = [contest.values(one, name) for name in (*MOMENTS, "train_accuracy_peak")]
        there = np.isfinite(columns[0])
        if there.any():
            statuses = contest.data["status"].values[[*one.cells.values()]]
            failed = sum("failed" in str(status) for status in statuses)
            count = f"{there.sum()} of {len(one.cells)}{f'; {failed} failed' if failed else ''}"
            told_of = [told(100 * column, ".2f", ".2f") for column in columns]
            yield [one.name, f"{one.learning_rate:g}", count, *told_of]


def _differences(contest: Contest) -> Iterator[list[str]]:
    for one, reference in _pairs(contest):
        for name, moment in MOMENTS.items():
            difference = contest.difference(one, reference, name)
            if difference.pairs:
                yield [one.name, reference.name, moment, *_told(difference)]


def _pairs(contest: Contest) -> Iterator[tuple[Entrant, Entrant]]:
    """All entrants against the reference; then those with its lambda against BP without."""
    reference, free = contest.reference, contest.unregularised
    if reference is None:
        return
    others = [one for one in contest.entrants if one is not reference]
    yield from ((one, reference) for one in others)
    if free is not None and free is not reference:
        yield from ((one, free) for one in others if one.strength == reference.strength)


def _told(difference: Difference) -> list[str]:
    each = 100 * np.array(difference.each)
    told_of = [str(difference.pairs), told(each, "+.2f", ".2f")]
    if difference.pairs < 2:
        return [*told_of, "-", verdict(difference), "-"]
    spread = float(np.std(difference.each, ddof=1))
    needed = repetitions_needed(difference.mean, spread, MARGIN)
    p = two_one_sided(difference.each, MARGIN)
    return [*told_of, f"{p:.2g}", verdict(difference), str(needed or "over 1000")]


def table(columns: Sequence[str], rows: list[list[str]]) -> list[str]:
    """In Markdown."""
    lines = [list(columns), ["---"] * len(columns), *rows]
    return [f"| {' | '.join(words)} |" for words in lines]

"""What Figures 2 and 3 say, as tables: rules down, networks across.

Owns their layout. The differences and what they allow one to say are those of
`analysis.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import xarray as xr

from analysis.comparison import COSINE, DATASETS, NAMES, REFERENCE, Group, groups
from analysis.controls import CONTROLS
from analysis.statistics import over_repetitions, told

ACCURACIES = {  # name of the variable -> when
    "test_accuracy_chosen": "at the epoch chosen by validation",
    "test_accuracy_peak": "at its peak, as the paper reports it",
}


def figure_findings(data: xr.Dataset) -> list[str]:
    """Tables in Markdown: for each accuracy every rule's, and in brackets what it has more than
    back-propagation, seed by seed, and what that allows one to say; and the cosines between both
    weight changes of layer 1 after the last epoch.

    Parameters
    ----------
    data : what `studies.training_run` returns, along `cell`
    """
    shown = groups(data)
    if not shown:
        return []
    lines = [f"{_common(shown)}."]
    there = any(REFERENCE in group.runs for group in shown)
    less = "minus BP in points, seed by seed" if there else "of BP, to compare with, there are none"
    for name, when in ACCURACIES.items():
        words = f"Test accuracy in % {when} ({less}):"
        lines += ["", words, "", *_table(shown, partial(_accuracy, name))]
    return [
        *lines,
        "",
        f"{COSINE.capitalize()}, after the last epoch:",
        "",
        *_table(shown, _cosine),
    ]


def _table(shown: Sequence[Group], told_of: Callable[[Group, str], str]) -> Iterator[str]:
    """A row for each rule, a column for each group."""
    rules = dict.fromkeys(rule for group in shown for rule in group.runs)
    yield _row(["rule", "learning rate", "lambda", *(_heading(group, shown) for group in shown)])
    yield _row(["---"] * (3 + len(shown)))
    for rule in rules:
        there = [group.runs[rule] for group in shown if rule in group.runs]
        words = [told_of(group, rule) if rule in group.runs else "" for group in shown]
        if any(words):
            parameters = (_one(there, name) for name in ("learning_rate", "orthogonality"))
            yield _row([NAMES[rule], *parameters, *words])


def _accuracy(name: str, group: Group, rule: str) -> str:
    words = told(100 * group.accuracy(rule, name), ".2f", ".2f")
    failed = sum(str(status) != "completed" for status in group.runs[rule]["status"].values)
    notes = [f"{failed} of {len(group.seeds)} failed"] if failed else []
    if rule != REFERENCE and REFERENCE in group.runs:
        difference = group.against_reference(rule, name)
        gap = told(100 * np.array(difference.each), "+.2f", ".2f")
        notes = [gap, difference.verdict(), *notes]
    return f"{words} ({', '.join(notes)})" if notes else words


def _cosine(group: Group, rule: str) -> str:
    """Nothing for back-propagation itself and for controls, of which no layer 1 learns."""
    if rule == REFERENCE or rule in CONTROLS:
        return ""
    mean, half = over_repetitions(group.accuracy(rule, "alignment")[:, -1, 0])
    spread = f" +- {half:.2f}" if np.isfinite(half) else ""
    return f"{mean:.2f}{spread}" if np.isfinite(mean) else "-"


def _heading(group: Group, shown: Sequence[Group]) -> str:
    """In what a group differs from the others, and its seeds where they are fewer."""
    words = [
        word
        for name, word in (("dataset", DATASETS[group.dataset]), ("widths", group.widths))
        if len({getattr(one, name) for one in shown}) > 1
    ]
    if len(group.seeds) < max(len(one.seeds) for one in shown):
        words.append(f"{len(group.seeds)} seeds")
    return ", ".join(words) or group.widths


def _common(shown: Sequence[Group]) -> str:
    """What all groups share."""
    words = [
        word
        for name, word in (
            ("dataset", DATASETS[shown[0].dataset]),
            ("widths", f"layers {shown[0].widths}"),
            ("activation", f"{shown[0].activation} units"),
        )
        if len({getattr(one, name) for one in shown}) == 1
    ]
    most = max((group.seeds for group in shown), key=len)
    seeds = ", ".join(map(str, most))
    return f"{', '.join(words)}; seed{'s' if len(most) > 1 else ''} {seeds}"


def _one(runs: Sequence[xr.Dataset], name: str) -> str:
    """The value that all runs have, or all that they have."""
    return ", ".join(
        f"{value:g}" for value in dict.fromkeys(float(v) for one in runs for v in one[name].values)
    )


def _row(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"

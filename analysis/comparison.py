"""Learning rules compared with back-propagation, seed by seed.

Owns paired differences with their intervals, what they allow one to say, and the tables of it, made
from the result of training runs alone.

Runs of one seed begin with the same weights and see the same images in the same order, whatever the
rule: what the seed does to both cancels in their difference. No difference found is not yet
equality, least of all with a few seeds. So a rule is called *level* with back-propagation only if
the whole interval lies within `MARGIN`: two one-sided tests, each at half of 1 - `LEVEL`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS
from analysis.statistics import LEVEL, over_repetitions, told

MARGIN = 0.01  # a percentage point
REFERENCE = "bp"
RULES = ("bp", "gait", "grait", "circuit", "itp", "tp", *CONTROLS)
NAMES = {
    "bp": "BP",
    "gait": "GAIT-prop",
    "grait": "GRAIT-prop",
    "circuit": "circuit",
    "itp": "ITP",
    "tp": "TP",
    **CONTROLS,
}
DATASETS = {
    "digits": "digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "own": "own images",
}
LEVEL_WITH, BEHIND, AHEAD, OPEN = "level", "behind", "ahead", "undecided"
COSINE = "cosine, layer 1"
ACCURACIES = {  # name of the variable -> word in tables
    "train_accuracy_peak": "peak training",
    "test_accuracy_peak": "peak test",
    "test_accuracy_end": "test at the end",
    "test_accuracy_chosen": "test, chosen epoch",
}


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, and half the width of its interval.

    Attributes
    ----------
    mean : NaN if there is no pair
    half : NaN if there are fewer than two pairs
    pairs : how many
    each : the differences themselves
    """

    mean: float
    half: float
    pairs: int
    each: tuple[float, ...] = ()

    def verdict(self, margin: float = MARGIN) -> str:
        """What the interval allows one to say.

        "level" if all of it lies within the margin, be zero in it or not; else "behind" or "ahead"
        if all of it is on one side of zero; else "undecided".
        """
        low, high = self.mean - self.half, self.mean + self.half
        if -margin < low and high < margin:
            return LEVEL_WITH
        if high < 0:
            return BEHIND
        return AHEAD if low > 0 else OPEN


def paired_difference(
    values: np.ndarray, reference: np.ndarray, level: float = LEVEL
) -> Difference:
    """Differences of pairs, with Student's interval.

    Parameters
    ----------
    values, reference : arrays (n,), pair by pair. A NaN leaves its pair out.
    """
    differences = np.asarray(values, dtype=float) - np.asarray(reference, dtype=float)
    mean, half = over_repetitions(differences, level, fewest=2)  # a verdict needs it, no page
    there = differences[np.isfinite(differences)].tolist()
    return Difference(float(mean), float(half), len(there), tuple(there))


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in rule and seed only (and in the parameters chosen for the rule).

    Attributes
    ----------
    dataset, widths, activation : what they share
    runs : rule -> dataset along `cell`, in ascending order of seeds, the same for all rules; only
        seeds that every rule has
    """

    dataset: str
    widths: str
    activation: str
    runs: dict[str, xr.Dataset]

    def accuracy(self, rule: str, name: str) -> np.ndarray:
        """The variable `name`, an accuracy or another, of the runs by `rule`, `(seeds, ...)`."""
        return np.asarray(self.runs[rule][name].values, dtype=float)

    def against_reference(self, rule: str, name: str) -> Difference:
        """How far `rule` is from back-propagation in the variable `name`."""
        return paired_difference(self.accuracy(rule, name), self.accuracy(REFERENCE, name))

    @property
    def seeds(self) -> list[int]:
        """Seeds of the pairs."""
        return [int(seed) for seed in next(iter(self.runs.values()))["seed"].values]

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return self.widths.count("-") - 1

    @property
    def fixed_width(self) -> bool:
        """Whether all layers have the same number of units."""
        return len(set(self.widths.split("-"))) == 1


def groups(data: xr.Dataset) -> list[Group]:
    """The runs by data set, widths and activation, in the order in which those first come.

    A run that is missing or raised is left out, and its seed with it.
    """
    there = np.isfinite(data["test_accuracy"].values[:, 0]) if "test_accuracy" in data else None
    if there is None:
        return []
    data = data.isel(cell=there)
    keys = list(
        zip(data["dataset"].values, data["widths"].values, data["activation"].values, strict=True)
    )
    rules, seeds = data["rule"].values, data["seed"].values
    found = []
    for key in dict.fromkeys(keys):
        here = np.array([one == key for one in keys])
        cells = {rule: np.flatnonzero(here & (rules == rule)) for rule in RULES}
        cells = {rule: one for rule, one in cells.items() if len(one)}
        common = set.intersection(*({*seeds[one].tolist()} for one in cells.values()))
        if common:
            runs = {}
            for rule, one in cells.items():
                one = one[[seed in common for seed in seeds[one].tolist()]]
                runs[rule] = data.isel(cell=one[np.argsort(seeds[one], kind="stable")])
            dataset, widths, activation = map(str, key)
            found.append(Group(dataset, widths, activation, runs))
    return found


def tables(data: xr.Dataset) -> list[str]:
    """For every group a heading and a table in Markdown: accuracies, the difference from
    back-propagation at the epoch chosen by validation, and the cosine between both weight changes
    of layer 1 after the last epoch.
    """
    lines = []
    for group in groups(data):
        seeds = ", ".join(map(str, group.seeds))
        lines += [
            f"{group.dataset}, layers {group.widths}, {group.activation}, seeds {seeds}; test "
            "accuracy in %",
            "",
        ]
        columns = [
            "rule",
            "learning rate",
            "lambda",
            *ACCURACIES.values(),
            "minus BP",
            "so",
            COSINE,
        ]
        lines += [_row(columns), _row(["---"] * len(columns)), *map(_row, _rows(group)), ""]
    return lines


def _rows(group: Group) -> Iterator[list[str]]:
    for rule, runs in group.runs.items():
        row = [NAMES[rule], f"{runs['learning_rate'].values[0]:g}"]
        row.append(f"{runs['orthogonality'].values[0]:g}")
        for name in ACCURACIES:
            row.append(_interval(group.accuracy(rule, name)))
        if rule == REFERENCE or REFERENCE not in group.runs:
            row += ["", "", ""]
        else:
            difference = group.against_reference(rule, "test_accuracy_chosen")
            row.append(_interval(difference.each, "+"))
            row.append(difference.verdict())
            cosine = float(over_repetitions(group.accuracy(rule, "alignment")[:, -1, 0])[0])
            shown = np.isfinite(cosine) and rule not in CONTROLS  # of which no layer 1 learns
            row.append(f"{cosine:.2f}" if shown else "-")
        row[-2] += _failures(runs)
        yield row


def _failures(runs: xr.Dataset) -> str:
    """How many of the runs did not end well, in words that follow others; empty if none."""
    failed = sum(str(status) != "completed" for status in runs["status"].values)
    return f"; {failed} of {len(runs['status'])} failed" if failed else ""


def interval_groups(data: xr.Dataset) -> dict[tuple[str, str], dict[int, xr.Dataset]]:
    """For each data set and rule the runs by k, the regulariser being applied in every k-th step:
    in ascending order of k and of seeds, only seeds that every k has; what has no k = 1 to be held
    against is left out.
    """
    found: dict[tuple[str, str], dict[int, xr.Dataset]] = {}
    for every in np.unique(data["orthogonality_every"].values):
        part = data.isel(cell=data["orthogonality_every"].values == every)
        for group in groups(part):
            for rule, runs in group.runs.items():
                found.setdefault((group.dataset, rule), {})[int(every)] = runs
    paired = {}
    for key, by_every in found.items():
        common = set.intersection(*({*one["seed"].values.tolist()} for one in by_every.values()))
        if 1 in by_every and common:
            paired[key] = {
                every: runs.isel(cell=[seed in common for seed in runs["seed"].values.tolist()])
                for every, runs in by_every.items()
            }
    return paired


def interval_findings(data: xr.Dataset) -> list[str]:
    """A table in Markdown of the same runs with the regulariser in every k-th step: accuracy,
    difference from k = 1 seed by seed, and how far from orthogonal the weights ended.
    """
    columns = ["data set", "rule", "learning rate", "lambda", "k", "seeds", "test, chosen epoch"]
    columns += ["minus k = 1", "so", "distance from orthogonality"]
    lines = [_row(columns), _row(["---"] * len(columns))]
    for (dataset, rule), by_every in interval_groups(data).items():
        for every, runs in by_every.items():
            rate, strength = (f"{runs[n].values[0]:g}" for n in ("learning_rate", "orthogonality"))
            row = [dataset, NAMES[rule], rate, strength, str(every), str(runs.sizes["cell"])]
            accuracy = runs["test_accuracy_chosen"].values
            row.append(_interval(accuracy))
            difference = paired_difference(accuracy, by_every[1]["test_accuracy_chosen"].values)
            shown = every > 1
            row.append(_interval(difference.each, "+") if shown else "")
            row.append((difference.verdict() if shown else "") + _failures(runs))
            last = xr.DataArray(runs["epochs"].values, dims="cell")  # data sets differ in it
            away = runs["orthogonality_distance"].sel(epoch=last).values
            row.append(f"{float(np.nanmean(away)):.3f}" if np.isfinite(away).any() else "-")
            lines.append(_row(row))
    return lines


def best_of_grid(data: xr.Dataset) -> dict[tuple[str, str], tuple[float, float, float]]:
    """For each activation and rule the learning rate, lambda and validation accuracy that were
    best, as the mean over seeds; a run that failed counts as if it had learnt nothing.
    """
    found: dict[tuple[str, str], tuple[float, float, float]] = {}
    for (activation, rule), table in grid_tables(data).items():
        rates, strengths, accuracy = table
        if np.isfinite(accuracy).any():
            row, column = np.unravel_index(np.nanargmax(accuracy), accuracy.shape)
            found[activation, rule] = (
                float(rates[column]),
                float(strengths[row]),
                float(accuracy[row, column]),
            )
    return found


def grid_tables(
    data: xr.Dataset,
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each activation and rule: learning rates, lambdas, and the validation accuracy at the
    chosen epoch (lambdas, rates), the mean over seeds; NaN where no run is.
    """
    found = {}
    for activation in dict.fromkeys(data["activation"].values.tolist()):
        for rule in RULES:
            keep = (data["activation"].values == activation) & (data["rule"].values == rule)
            part = data.isel(cell=keep)
            if not part.sizes["cell"]:
                continue
            rates = np.unique(part["learning_rate"].values)
            strengths = np.unique(part["orthogonality"].values)
            accuracy = np.full((len(strengths), len(rates)), np.nan)
            for row, strength in enumerate(strengths):
                for column, rate in enumerate(rates):
                    accuracy[row, column] = _mean_validation(part, strength, rate)
            found[activation, rule] = rates, strengths, accuracy
    return found


def grid_findings(data: xr.Dataset) -> list[str]:
    """The table of what the grid search chose."""
    columns = ["units", "rule", "learning rate", "lambda", "validation accuracy in %"]
    return [
        _row(columns),
        _row(["---"] * len(columns)),
        *(
            _row([activation, NAMES[rule], f"{rate:g}", f"{strength:g}", f"{100 * accuracy:.1f}"])
            for (activation, rule), (rate, strength, accuracy) in best_of_grid(data).items()
        ),
    ]


def _mean_validation(part: xr.Dataset, strength: float, rate: float) -> float:
    here = (part["orthogonality"].values == strength) & (part["learning_rate"].values == rate)
    some = part.isel(cell=here)
    failed = np.array(
        [str(status).startswith("training failed") for status in some["status"].values]
    )
    values = np.where(
        failed, some["validation_accuracy"].values[:, 0], some["validation_accuracy_chosen"].values
    )
    return float(np.mean(values)) if len(values) else float("nan")


def _interval(values: Sequence[float] | np.ndarray, sign: str = "") -> str:
    """Fractions as percentages, with the half-width of the interval, or each of two."""
    return told(100 * np.asarray(values, dtype=float), f"{sign}.2f", ".2f")


def _row(words: list[str]) -> str:
    return f"| {' | '.join(words)} |"

"""What figures "bench" and "bench_grid" show, as numbers and as tables.

Owns the comparison of every rule with back-propagation, the choice that a grid leads to, and how
much longer a step by a rule takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.comparison import DATASETS, REFERENCE, Difference, paired_difference
from analysis.controls import CONTROLS
from analysis.statistics import told
from circuit.learning.step import Learner, begin_learning, fresh, learn
from circuit.peers.table import TABLE
from studies.paper_figures.every_rule import plan_of
from training.plan import Plan, initial_network, placed

# test errors in % that Meulemans et al. (2021) publish of 3 x 256 tanh units
PUBLISHED = {
    "mnist": {"bp": 2.08, "dfc": 2.25, "dfa": 2.69},
    "fashion_mnist": {"bp": 10.60, "dfc": 11.17, "dfa": 11.38},
}
CLASSES = 10


@dataclass(frozen=True)
class Learnt:
    """What came of the runs by one rule on one data set.

    Attributes
    ----------
    dataset, rule : their names
    rate, settings : learning rate, and settings that differ from the rule's defaults
    accuracies : of the test images at the chosen epoch, by ascending seed; of those that ended well
    against : difference from back-propagation, seed by seed
    settled : the fraction of images that settled, over all epochs and seeds; NaN for a closed form
    failed : runs that came to no end; those that are missing may do yet
    """

    dataset: str
    rule: str
    rate: float
    settings: str
    accuracies: np.ndarray
    against: Difference
    settled: float
    failed: int


def learnt(data: xr.Dataset) -> Iterator[Learnt]:
    """Data set by data set, the rules in the order in which they come."""
    for dataset in dict.fromkeys(data["dataset"].values.tolist()):
        part = data.isel(cell=data["dataset"].values == dataset)
        reference = _by_seed(part, REFERENCE)
        for rule in dict.fromkeys(part["rule"].values.tolist()):
            runs = part.isel(cell=part["rule"].values == rule)
            own = _by_seed(part, rule)
            both = sorted(set(own) & set(reference))
            against = paired_difference(
                np.array([own[seed] for seed in both]), np.array([reference[seed] for seed in both])
            )
            seen = runs["settled"].values[:, 1:]
            yield Learnt(
                dataset=str(dataset),
                rule=str(rule),
                rate=float(runs["learning_rate"].values[0]),
                settings=_settings(runs),
                accuracies=np.array([own[seed] for seed in sorted(own)]),
                against=against,
                settled=float(np.nanmean(seen)) if np.isfinite(seen).any() else float("nan"),
                failed=sum("failed" in str(one) for one in runs["status"].values),
            )


def _by_seed(data: xr.Dataset, rule: str) -> dict[int, float]:
    """Seed -> test accuracy at the chosen epoch; without runs of which there is none."""
    runs = data.isel(cell=data["rule"].values == rule)
    pairs = zip(runs["seed"].values, runs["test_accuracy_chosen"].values, strict=True)
    return {int(seed): float(value) for seed, value in pairs if np.isfinite(value)}


def _settings(runs: xr.Dataset) -> str:
    return _words(runs["settings"].values[0])


def _words(settings: object) -> str:
    """A rule's settings as they are told: nothing for its defaults."""
    text = str(settings)
    return text.strip("{}").replace('"', "") if text.startswith("{") else ""


def bench_findings(data: xr.Dataset) -> list[str]:
    """A table in Markdown for every data set."""
    ratios = dict(zip(*(data[name].values for name in ("timed", "step_over_bp")), strict=True))
    lines = []
    for dataset in dict.fromkeys(data["dataset"].values.tolist()):
        published = PUBLISHED.get(str(dataset), {})
        columns = ["rule", "learning rate", "set to", "test accuracy, %", "minus BP", "so"]
        columns += ["settled", "step over BP's", *(["published, %"] if published else [])]
        lines += [f"{DATASETS.get(str(dataset), dataset)}:", "", _row(columns)]
        lines.append(_row(["---"] * len(columns)))
        for one in learnt(data):
            if one.dataset != dataset:
                continue
            so = "" if one.rule == REFERENCE or not one.against.pairs else one.against.verdict()
            so += f"; {one.failed} failed" if one.failed else ""
            ratio = ratios.get(one.rule, np.nan)
            row = [
                one.rule,
                f"{one.rate:g}",
                one.settings,
                told(100 * one.accuracies, ".2f", ".2f"),
                "" if one.rule == REFERENCE else told(100 * _each(one), "+.2f", ".2f"),
                so,
                f"{one.settled:.3f}" if np.isfinite(one.settled) else "",
                f"{ratio:.1f}" if np.isfinite(ratio) else "",
            ]
            if published:
                error = published.get(one.rule)
                row.append("" if error is None else f"{100 - error:.2f}")
            lines.append(_row(row))
        lines.append("")
    return lines


def _each(one: Learnt) -> np.ndarray:
    return np.array(one.against.each)


def best_of_bench_grid(data: xr.Dataset) -> dict[str, tuple[float, str | None, float]]:
    """Rule -> learning rate, settings and validation accuracy of its best runs, means over seeds.

    A run that failed counts as if it had learnt nothing. Of equals the first.
    """
    found: dict[str, tuple[float, str | None, float]] = {}
    for rule in dict.fromkeys(data["rule"].values.tolist()):
        part = data.isel(cell=data["rule"].values == rule)
        scores: dict[tuple[float, str], list[float]] = {}
        for i in range(part.sizes["cell"]):
            run = part.isel(cell=i)
            key = float(run["learning_rate"]), str(run["settings"].item())
            ended = str(run["status"].item()) == "completed"
            first = float(run["validation_accuracy"].values[0])
            value = float(run["validation_accuracy_chosen"]) if ended else first
            scores.setdefault(key, []).append(value)
        means = {key: float(np.mean(values)) for key, values in scores.items()}
        known = {key: value for key, value in means.items() if np.isfinite(value)}
        if known:
            rate, settings = max(known, key=lambda key: known[key])
            own = settings if settings.startswith("{") else None
            found[str(rule)] = rate, own, known[rate, settings]
    return found


def bench_grid_findings(data: xr.Dataset) -> list[str]:
    """The table of what the grid chose."""
    columns = ["rule", "learning rate", "set to", "validation accuracy, %"]
    return [
        _row(columns),
        _row(["---"] * len(columns)),
        *(
            _row([rule, f"{rate:g}", _words(settings), f"{100 * value:.1f}"])
            for rule, (rate, settings, value) in best_of_bench_grid(data).items()
        ),
    ]


def with_times(data: xr.Dataset, steps: int = 22) -> xr.Dataset:
    """The result with `step_over_bp` (timed): how many times as much time of the processor as by
    back-propagation a step of learning takes by each rule, in networks of the first data set.

    Steps of both are made in turn, on random images, in this process; of each ratio the median.
    """
    rules = [str(rule) for rule in dict.fromkeys(data["rule"].values.tolist())]
    first = data.isel(cell=0)
    common = {"pixels": int(first["pixels"]), "width": int(first["width"])}
    common |= {"batch": int(first["batch"])}
    plans: dict[str, Plan] = {}
    for rule in dict.fromkeys([REFERENCE, *rules]):
        runs = data.isel(cell=data["rule"].values == rule)
        there = runs.sizes["cell"] > 0
        settings = str(runs["settings"].values[0]) if there else ""
        rate = float(runs["learning_rate"].values[0]) if there else 1e-3
        own = settings if settings.startswith("{") else None
        plans[rule] = plan_of(rule, learning_rate=rate, settings=own, **common)
    ratios = [_ratio(plans[rule], plans[REFERENCE], steps) for rule in rules]
    words = "processor time of a step of learning over that of back-propagation"
    return data.assign(step_over_bp=("timed", ratios, {"long_name": words})).assign_coords(
        timed=rules
    )


def _ratio(plan: Plan, reference: Plan, steps: int) -> float:
    """The median over steps of the quotient of the times; NaN where one cannot be made, or the
    clock is too coarse for a step.
    """
    rng = np.random.default_rng(0)
    inputs = rng.random((plan.batch, plan.widths[0]), dtype=np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, plan.batch)]
    learners = [_learner(one) for one in (plan, reference)]
    took = np.zeros((steps, 2))
    for step in range(steps):
        for i, one in enumerate((plan, reference)):
            began = time.process_time()
            try:
                learners[i], _ = learn(learners[i], one.lesson, inputs, targets)
            except ValueError:  # as a run would have failed
                return float("nan")
            took[step, i] = time.process_time() - began
    took = took[2:]  # the first load code and factorise weights
    return float(np.median(took[:, 0] / took[:, 1])) if took.all() else float("nan")


def _learner(plan: Plan) -> Learner:
    network = initial_network(plan, CLASSES)
    (keys,) = placed([np.array(plan.seeds[0])], plan)
    return fresh(begin_learning(network, plan.lesson, keys))


def names_of(rules: Sequence[str]) -> list[str]:
    """How rules are called, also those that are no longer in the table."""
    called = {rule: line.called for rule, line in TABLE.items()} | CONTROLS
    return [called.get(rule, rule) for rule in rules]


def _row(words: list[str]) -> str:
    return f"| {' | '.join(words)} |"

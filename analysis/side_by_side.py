"""Runs of one command side by side: what they differ in, and what came of each.

Owns the table and the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import NAMES, Figure, headline, panels, shades, styled
from circuit.errors import CircuitError
from circuit.report.digits import digits_apart
from circuit.storage.results import Results

KINDS = {"equilibrium": "run_equilibrium", "history": "run_training"}  # file -> command
FOLDERS = {"output", "config", "pdf", "quiet", "no_figures", "data_dir"}  # no matter of results
FEWEST = 3  # seeds of which a mean is told; of fewer each value is
WIDTH = 100


def kind_of(runs: Sequence[Results]) -> str:
    """Which of `KINDS` all runs are.

    Raises `CircuitError` for a folder of neither, and for runs of different commands.
    """
    found = []
    for run in runs:
        names = [name for name in KINDS if (run.folder / f"{name}.nc").is_file()]
        if len(names) != 1 or not isinstance(run.summary.get("config"), dict):
            raise CircuitError(
                f"{run.folder} holds no run of {' or '.join(KINDS.values())}; give such folders"
            )
        found += names
    for run, name in zip(runs, found, strict=True):
        if name != found[0]:
            raise CircuitError(
                f"{run.folder} is of {KINDS[name]}, {runs[0].folder} of {KINDS[found[0]]}; "
                "compare runs of one command"
            )
    return found[0]


def names_of(runs: Sequence[Results]) -> list[str]:
    """A name for each run: that of its folder, with those above where that is shared."""
    parts = [run.folder.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    raise CircuitError(f"{runs[0].folder} is given twice; give each folder once")


def table(runs: Sequence[Results]) -> list[dict[str, str]]:
    """A row for each run: its name, the settings that are not the same in all, and its outcome."""
    kind = kind_of(runs)
    outcome = {"equilibrium": _of_equilibrium, "history": _of_training}[kind]
    configs = [run.summary["config"] for run in runs]
    keys = [key for one in configs for key in one if key not in FOLDERS]
    differing = [
        key
        for key in dict.fromkeys(keys)
        if any(one.get(key) != configs[0].get(key) for one in configs)
    ]
    return [
        {"run": name}
        | {key: _plain(config.get(key)) for key in differing}
        | outcome(run.data[kind], run.summary)
        for name, config, run in zip(names_of(runs), configs, runs, strict=True)
    ]


def in_text(rows: Sequence[dict[str, str]]) -> str:
    """The table, in columns that fit: where they do not, what follows stands below, by run."""
    blocks, columns = [], list(rows[0])
    label = max(len(row["run"]) for row in rows)
    rest = columns[1:]
    while rest:
        line, chosen = max(label, len("run")), list[tuple[str, int]]()
        while rest:
            width = 2 + max(len(rest[0]), *(len(row[rest[0]]) for row in rows))
            if chosen and line + width > WIDTH:
                break
            line += width
            chosen.append((rest.pop(0), width))
        entries = [dict(zip(columns, columns, strict=True)), *rows]
        blocks.append(
            "\n".join(
                entry["run"].ljust(label) + "".join(f"{entry[name]:>{w}}" for name, w in chosen)
                for entry in entries
            )
        )
    return "\n\n".join(blocks)


def _of_equilibrium(data: xr.Dataset, summary: Any) -> dict[str, str]:
    """Whose update is carried, and how far off, in the layer that is nearest to its bound."""
    settled, pathway = data.attrs["status"] == "converged", str(data.attrs["pathway"])
    words = {"status": str(data.attrs["status"]), "carries": "-", "error": "-", "allowed": "-"}
    words["cosine with BP"] = "-"
    if settled and pathway in data["rule"].values:
        error, bound = data["relative_error"].sel(rule=pathway).values, data["bound"].values
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = int(np.argmax(np.nan_to_num(error / bound, nan=np.inf)))
        agrees = bool(data.attrs["agrees"])
        undecided = str(data.attrs["verdict"]).startswith("Whether")
        words["carries"] = f"{'undecided' if undecided else 'yes' if agrees else 'no'}, {pathway}"
        places = digits_apart(error[worst], bound[worst]) - 1
        words["error"] = f"{error[worst]:.{places}e}"
        limit = f"{bound[worst]:.{places}e}"
        words["allowed"] = limit if np.isfinite(bound[worst]) else "infinite"
        if "bp" in data["rule"].values:
            words["cosine with BP"] = f"{np.min(data['cosine'].sel(rule='bp').values):.4f}"
    return words


def _of_training(data: xr.Dataset, summary: Any) -> dict[str, str]:
    """Test accuracy in per cent over seeds, at the chosen epoch and at the end."""
    words = {"status": str(summary["status"]).split(":")[0], "epochs": str(summary["epochs"])}
    for which in ("chosen", "end"):
        words[f"test %, {which}"] = _over_seeds(summary["test_accuracy"][which])
    return words


def _over_seeds(values: Sequence[float | None]) -> str:
    """Mean and range of three seeds or more; of fewer each value."""
    there = [100 * value for value in values if value is not None]
    if len(there) < FEWEST:
        return ", ".join(f"{value:.1f}" for value in there) or "-"
    return f"{np.mean(there):.1f} ({min(there):.1f} to {max(there):.1f})"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


@styled
def figure(runs: Sequence[Results]) -> Figure:
    """One line a run: by layer the update against its rule's and back-propagation's, or by epoch
    the test accuracy.
    """
    kind, names, colours = kind_of(runs), names_of(runs), shades(len(runs))
    drawn, ((left, right),) = panels(1, 2, figsize=(10.4, 3.6))
    for run, name, colour in zip(runs, names, colours, strict=True):
        data = run.data[kind]
        if kind == "history":
            epochs = data["epoch"].values
            for axes, variable in ((left, "test_accuracy"), (right, "test_loss")):
                axes.plot(epochs, data[variable].values.T, color=colour, lw=0.6, alpha=0.5)
                mean = data[variable].mean("seed").values
                axes.plot(epochs, mean, color=colour, lw=1.8, label=name)
            continue
        if data.attrs["status"] != "converged":
            name += f" ({data.attrs['status']})"
        rule, layers = str(data.attrs["pathway"]), data["layer"].values
        for axes, variable, which in (
            (left, "relative_error", rule),
            (right, "cosine", "bp"),
        ):
            if which in data["rule"].values:
                values = data[variable].sel(rule=which).values
                axes.plot(layers, values, "o-", ms=4, color=colour, label=name)
        left.plot(layers, data["bound"].values, "--", lw=0.8, color=colour)
    if kind == "history":
        words, across = ("test accuracy", "test loss"), "epoch"
        title = "Test accuracy and loss by epoch (thick: means over seeds, thin: each)"
    else:
        words = ("relative error to its own rule", f"cosine with {NAMES['bp']}")
        across = "layer (the last is the output)"
        title = "The circuit's update by layer (dashed: bound of its own rule)"
        left.set_yscale("log")
    for axes, one in zip((left, right), words, strict=True):
        axes.set(xlabel=across, ylabel=one)
    right.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    headline(drawn, title)
    return drawn

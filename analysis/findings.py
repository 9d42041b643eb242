"""What the studies of feedback strength found, as short tables in words and numbers.

Owns the tables that the command prints, made from the results of a study alone. Does not own the
studies or their pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.intervals import over_repetitions

SHOWN = (0.001, 0.01, 0.1, 0.3)  # feedback strengths in a table; the nearest of the grid


def findings(name: str, data: xr.Dataset) -> list[str]:
    """The lines to print for the study called `name`."""
    return TABLES[name](data)


def strength(data: xr.Dataset) -> list[str]:
    """Alignment with back-propagation, and how many images settled."""
    wide = data["width"].values == data["width"].values.max()
    units = "leaky_relu" if "leaky_relu" in data["activation"].values else data["activation"][0]
    wide |= data["init"].values == "trained"
    keep = wide & (data["pathway"].values == "gait")
    keep &= (data["activation"].values == units) | (data["init"].values == "trained")
    part = data.isel(cell=keep)
    cosine = part["cosine"].sel(rule="bp", readout="shift", layer=1).values
    frame = _frame(part, {"cosine": cosine, "settled": part["settled_fraction"].values})
    rows = _by(frame, ["init", "depth"], "gamma", ["cosine", "settled"])
    return [
        f"strength: cosine of layer 1's update with back-propagation | fraction of images settled "
        f"({units}, GAIT pathway, shift; mean over seeds and 95 % interval, by gamma)",
        rows,
    ]


def strong(data: xr.Dataset) -> list[str]:
    """Critical feedback strength by depth."""
    frame = _frame(data, {"critical": data["critical_gamma"].values})
    never = frame["critical"].isna()
    frame["critical"] = frame["critical"].where(~never, np.inf)
    keys = ["pathway", "init", "activation"]
    # the lower median occurs itself, also where the upper half is infinite
    critical = frame.groupby([*keys, "depth"])["critical"]
    table = critical.quantile(0.5, interpolation="lower").unstack("depth")
    return [
        "strong: lower median over images and seeds of the gamma at which the equilibrium is lost, "
        "by depth (inf: not lost as far as the branch was followed)",
        table.to_string(float_format=lambda value: f"{value:.3g}"),
    ]


def noise(data: xr.Dataset) -> list[str]:
    """Best feedback strength per depth."""
    from analysis.noise_curves import SIGMA, Case, optima

    rows = []
    times = data["duration"].values[1:]
    for depth in np.unique(data["depth"].values):
        for layer in (1, int(depth) + 1):
            best, errors = optima(data, Case(int(depth), layer), times)
            middle, half = over_repetitions(np.log(best))
            error, _ = over_repetitions(errors)
            row: dict[str, Any] = {"depth": int(depth), "layer": layer}
            for i, time in enumerate(times):
                low, high = np.exp(middle[i] - half[i]), np.exp(middle[i] + half[i])
                span = f" ({low:.2g} to {high:.2g})" if np.isfinite(half[i]) else ""
                row[f"T = {time:g} tau"] = f"{np.exp(middle[i]):.2g}{span} | {error[i]:.2g}"
            rows.append(row)
    return [
        f"noise: the gamma with the least error of the update, bias and noise of {SIGMA:g} "
        "together, and that error, by the time T of averaging (GAIT pathway, asinh, shift; "
        "geometric mean over seeds and 95 % interval; nan: no minimum inside the grid)",
        pd.DataFrame(rows).to_string(index=False),
    ]


def imperfection(data: xr.Dataset) -> list[str]:
    """Alignment against the size of the imperfection."""
    sizes = data["size"].values
    worst = data["cosine"].sel(rule="pathway").min("layer", skipna=True).values
    gamma = float(np.min(data["gamma"].values[data["gamma"].values >= 0.01]))
    lines = []
    for (circuit, kind, pathway), part in _groups(data, ("circuit", "kind", "pathway")):
        here = part & (data["gamma"].values == gamma) & (data["init"].values == "orthogonal")
        if not here.any():
            continue
        mean, half = over_repetitions(worst[here])
        row: dict[str, Any] = {"circuit": circuit, "kind": kind, "pathway": pathway}
        row |= {
            f"{size:g}": _with_interval(m, h) for size, m, h in zip(sizes, mean, half, strict=True)
        }
        lines.append(row)
    return [
        f"imperfection: cosine of the worst layer's update with the pathway's own rule, by the "
        f"size of the imperfection (orthogonal weights, gamma {gamma:g}; mean over seeds and 95 % "
        "interval)",
        pd.DataFrame(lines).to_string(index=False),
    ]


TABLES: dict[str, Callable[[xr.Dataset], list[str]]] = {
    "strength": strength,
    "strong": strong,
    "noise": noise,
    "imperfection": imperfection,
}


def _frame(data: xr.Dataset, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Columns beside the parameters of the cells."""
    parameters = {
        str(name): values.values for name, values in data.coords.items() if values.dims == ("cell",)
    }
    return pd.DataFrame(parameters | columns)


def _by(frame: pd.DataFrame, rows: list[str], column: str, values: Sequence[str]) -> str:
    """Mean over seeds with its interval, the values of one entry beside each other."""
    there = np.unique(frame[column])
    shown = sorted({float(there[np.argmin(np.abs(np.log(there / wanted)))]) for wanted in SHOWN})
    table: dict[str, dict[Any, str]] = {}
    for strength_ in shown:
        for key, group in frame[frame[column] == strength_].groupby(rows):
            mean, half = over_repetitions(group[list(values)].to_numpy())
            words = [_with_interval(mean[0], half[0]), *(f"{value:.2f}" for value in mean[1:])]
            table.setdefault(f"{strength_:g}", {})[key] = " | ".join(words)
    found = pd.DataFrame(table)
    found.index.names = rows
    return found.to_string()


def _with_interval(mean: float, half: float) -> str:
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.3f}" if not np.isfinite(half) else f"{mean:.3f} +- {half:.2g}"


def _groups(data: xr.Dataset, names: Sequence[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Every combination of words that occurs, with the mask of its cells."""
    columns = [data[name].values for name in names]
    combinations = dict.fromkeys(zip(*(column.tolist() for column in columns), strict=True))
    return [
        (
            tuple(map(str, one)),
            np.all([column == value for column, value in zip(columns, one, strict=True)], axis=0),
        )
        for one in combinations
    ]

"""Curves over feedback strength and averaging time, from the cells of the study of noise.

Owns how the long form of `noise.nc`, in which every variable lies along `cell` and a cell is one
feedback strength of one circuit, becomes curves, best strengths and fitted exponents.

Noise is given in that file at sigma = 1, and is meant here at `SIGMA`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from analysis.selection import cells_with
from studies.noise.theory import best_strength, fitted_exponent

SIGMA = 0.01  # standard deviation of an isolated unit, in the units of the rates
WEAK = 0.03  # strengths below are taken for the limit of weak feedback
FEWEST = 5  # strengths in a fit of three parameters


@dataclass(frozen=True)
class Curve:
    """Which curve is meant: a layer's read-out in one kind of circuit with orthogonal weights.

    Attributes
    ----------
    depth : hidden layers
    error : "bias", the relative error of the update; or "misdirection", its direction alone
    """

    depth: int
    layer: int
    pathway: str = "gait"
    activation: str = "asinh"
    readout: str = "shift"
    error: str = "bias"


def optima(data: xr.Dataset, case: Curve, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best gamma, and the error that it leaves, (seed, time).

    NaN where no minimum lies inside the range of strengths.

    Parameters
    ----------
    times : averaging times in time constants, among those of `data` or longer
    """
    best, errors = [], []
    longest = float(data["duration"].values[-1])
    for time in times:
        # averages over more than thousands of time constants fall as 1/sqrt(time)
        table = curves(data, case, min(float(time), longest))
        factor = SIGMA * np.sqrt(min(1.0, longest / time))
        found = [
            best_strength(table["gamma"].values, bias, factor * noise)
            for bias, noise in zip(table["bias"].values, table["noise"].values, strict=True)
        ]
        best.append([one.strength if one.inside else np.nan for one in found])
        errors.append([one.error if one.inside else np.nan for one in found])
    return np.array(best).T, np.array(errors).T


def exponents(data: xr.Dataset, case: Curve) -> np.ndarray:
    """Exponent of the best gamma in sigma^2/T for weak feedback, fitted for every seed, (seed,).

    Empty where too few strengths were measured.
    """
    table = curves(data, case, float(data["duration"].values[-1]))
    weak = table["gamma"].values < WEAK
    if weak.sum() < FEWEST:
        return np.empty(0)
    return np.array(
        [
            fitted_exponent(table["gamma"].values[weak], bias[weak], noise[weak])
            for bias, noise in zip(table["bias"].values, table["noise"].values, strict=True)
            if np.isfinite(bias[weak]).all()
        ]
    )


def curves(data: xr.Dataset, case: Curve, duration: float) -> xr.Dataset:
    """`bias` and, at sigma = 1, `noise` (seed, gamma), against the pathway's own rule."""
    chosen = select(data, depth=case.depth, pathway=case.pathway, activation=case.activation).sel(
        readout=case.readout, layer=case.layer
    )
    seeds, gammas = (np.unique(chosen[name].values) for name in ("seed", "gamma"))
    place = (
        np.searchsorted(seeds, chosen["seed"].values),
        np.searchsorted(gammas, chosen["gamma"].values),
    )
    columns = {
        "bias": chosen[case.error].sel(rule="pathway").values,
        "noise": chosen["update_noise"].sel(duration=duration).values,
    }
    tables = {name: np.full((len(seeds), len(gammas)), np.nan) for name in columns}
    for name, values in columns.items():
        tables[name][place] = values
    return xr.Dataset(
        {name: (("seed", "gamma"), table) for name, table in tables.items()},
        coords={"seed": seeds, "gamma": gammas},
    )


def select(data: xr.Dataset, **wanted: Any) -> xr.Dataset:
    """The cells with these parameters and orthogonal weights, in the order of gamma.

    Of the noise in Brian2, unless another is wanted, the one that most cells have: others are there
    only to find where the linear theory breaks.
    """
    chosen = cells_with(data, **({"init": "orthogonal", "noise": usual_noise(data)} | wanted))
    return chosen.isel(cell=np.argsort(chosen["gamma"].values, kind="stable"))


def usual_noise(data: xr.Dataset) -> float:
    """The noise in Brian2 that most cells have."""
    values, counts = np.unique(data["noise"].values, return_counts=True)
    return float(values[counts.argmax()])


def broken(data: xr.Dataset) -> list[tuple[str, str, xr.Dataset]]:
    """Series of cells that differ in the noise in Brian2 only: activation, pathway, and the cells.

    In the order of the noise; without those in which rates ceased to be finite.
    """
    others = np.flatnonzero(data["noise"].values != usual_noise(data))
    pairs = {
        (str(data["activation"].values[cell]), str(data["pathway"].values[cell])): None
        for cell in others
    }
    series = []
    for activation, pathway in pairs:
        chosen = [
            cell
            for cell in others[np.argsort(data["noise"].values[others], kind="stable")]
            if (data["activation"].values[cell], data["pathway"].values[cell])
            == (activation, pathway)
            and data["status"].values[cell] == "converged"
        ]
        if chosen:
            series.append((activation, pathway, data.isel(cell=chosen)))
    return series

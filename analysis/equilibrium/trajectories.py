"""Rates over time on the way to an equilibrium, simulated by Brian2 or integrated by SciPy.

Owns which units are shown, the labelled trajectories of the first image, and how far Brian2 ends
from the equilibrium. Does not own the simulations (`circuit.brian`, `circuit.methods.ode`) nor the
picture (`analysis.equilibrium.figures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.precise import in_float64
from circuit.equilibrium import settle
from circuit.methods import ode
from circuit.numerics.arrays import epsilon
from circuit.outcome import Equilibrium

FINE_STEP = 0.02  # time constants, of an integration without error control


def simulate(record: Equilibrium, n_images: int) -> tuple[list[tuple[float, float]], xr.Dataset]:
    """The first images in Brian2: per layer (relative error, float64 floor), and trajectories."""
    from circuit import brian  # takes a second to load

    n_images = min(n_images, record.trial.error.shape[0])
    trial = in_float64(record.trial.samples(range(n_images)))
    # settled as far as float64 goes, or the comparison would show the tolerance and not Brian2
    shifts = settle(trial, tolerance=10 * epsilon(trial.error), must_converge=False).shifts
    built = brian.build(trial, record=None)
    phases = brian.run_phases(built)
    floors = brian.float_floor(trial, shifts)
    comparison, log10_error = [], []
    for layer, simulated in enumerate(phases.shifts, 1):
        n = trial.network.n_projecting(layer)
        exact = shifts.absolute(layer)[:, :n]
        gap = float(np.linalg.norm(simulated[:, :n] - exact))
        comparison.append((gap / max(float(np.linalg.norm(exact)), 1e-300), floors[layer - 1]))
        log10_error.append(np.log10(max(gap / np.sqrt(n_images), 1e-300)))
    rates = [values[:, 0, :] for values in phases.rates]
    is_free = phases.times < phases.onset
    dataset = _trajectories(
        record,
        1e3 * phases.times[is_free],
        1e3 * (phases.times[~is_free] - phases.onset),
        [values[is_free] for values in rates],
        [values[~is_free] for values in rates],
        [values[0] for values in phases.free_rates],
    )
    dataset["log10_brian2_error"] = ("layer", np.array(log10_error))
    dataset["brian2_relative_error"] = ("layer", np.array([error for error, _ in comparison]))
    dataset["brian2_float_floor"] = ("layer", np.array([floor for _, floor in comparison]))
    dataset.attrs = {"trajectories": "Brian2", "brian2_steps": phases.steps}
    return comparison, dataset


def integrate(record: Equilibrium) -> xr.Dataset:
    """Trajectories of the first image by SciPy, for the figure when Brian2 is left out."""
    trial = record.trial.samples([0])
    tau = max(trial.circuit.time_constants)
    times = np.linspace(0.05, 20, 200) * tau
    free = [values[:, 0] for values in ode.free_phase(trial, times)]
    # error control would shorten steps without end where a unit slides along its kink
    slides = any(bool((slopes[0] > 0).any()) for slopes in record.sliding_slopes)
    step = FINE_STEP * min(trial.circuit.time_constants) if slides else None
    states, _ = ode.integrate(trial, trial.at_rest(), times, fixed_step=step)
    rest = [rates[0] for rates in trial.activity.rates[1:]]
    nudged = [
        np.stack([rest[layer - 1] + state.absolute(layer)[0] for state in states])
        for layer in range(1, trial.network.depth + 1)
    ]
    dataset = _trajectories(record, 1e3 * times, 1e3 * times, free, nudged, rest)
    dataset.attrs = {"trajectories": "SciPy"}
    return dataset


def _trajectories(
    record: Equilibrium,
    free_time: np.ndarray,
    nudged_time: np.ndarray,
    free: Sequence[np.ndarray],
    nudged: Sequence[np.ndarray],
    rest: Sequence[np.ndarray],
) -> xr.Dataset:
    """Rates (time, unit) of the units of each layer whose shifts are largest in the first image."""
    variables: dict[str, Any] = {}
    for layer in range(1, len(free) + 1):
        n = record.trial.network.n_projecting(layer)
        sizes = np.abs(record.shifts.values[layer - 1][0, :n])
        units = np.sort(np.argsort(sizes)[::-1][:8])
        shown = f"shown_{layer}"
        variables[f"free_rate_{layer}"] = (("free_time", shown), free[layer - 1][:, units])
        variables[f"nudged_rate_{layer}"] = (("nudged_time", shown), nudged[layer - 1][:, units])
        variables[f"rest_rate_{layer}"] = (shown, rest[layer - 1][units])
        variables[shown] = (shown, units.astype("i4"))
    coordinates = {
        "free_time": ("free_time", free_time, {"units": "ms"}),
        "nudged_time": ("nudged_time", nudged_time, {"units": "ms"}),
    }
    return xr.Dataset(variables, coords=coordinates)

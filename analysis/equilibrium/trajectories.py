"""Rates over time on the way to an equilibrium, simulated by Brian2 or integrated by SciPy.

Owns which units are shown, the trajectories of the first image and their labels, and how far Brian2
ends from the equilibrium. Does not own the simulations (`circuit.brian`, `circuit.methods.ode`) nor
the picture (`analysis.equilibrium.figures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.precise import in_float64
from circuit.equilibrium import settle
from circuit.methods import ode
from circuit.numerics.arrays import epsilon
from circuit.outcome import Equilibrium

if TYPE_CHECKING:
    import xarray as xr

FINE_STEP = 0.02  # time constants, of an integration without error control


@dataclass(frozen=True)
class Course:
    """Rates of the first image over time, and what Brian2 ends at where it was Brian2.

    Arrays alone: a process that simulates for another loads no more than it needs.

    Attributes
    ----------
    variables, coordinates : name -> (dimensions, values), as of an `xarray.Dataset`
    attributes : who simulated, and how many steps Brian2 took
    comparison : per layer (relative error, float64 floor) of Brian2's shifts; empty without it
    """

    variables: Mapping[str, tuple[Any, ...]]
    coordinates: Mapping[str, tuple[Any, ...]]
    attributes: Mapping[str, Any]
    comparison: Sequence[tuple[float, float]] = field(default=())

    def labelled(self) -> xr.Dataset:
        """The same as a dataset, with Brian2's errors by layer."""
        import xarray as xr

        return xr.Dataset(dict(self.variables), dict(self.coordinates), dict(self.attributes))


def simulate(record: Equilibrium, n_images: int) -> Course:
    """The first images in Brian2."""
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
    variables, coordinates = _trajectories(
        record,
        1e3 * phases.times[is_free],
        1e3 * (phases.times[~is_free] - phases.onset),
        [values[is_free] for values in rates],
        [values[~is_free] for values in rates],
        [values[0] for values in phases.free_rates],
    )
    variables |= {
        "log10_brian2_error": ("layer", np.array(log10_error)),
        "brian2_relative_error": ("layer", np.array([error for error, _ in comparison])),
        "brian2_float_floor": ("layer", np.array([floor for _, floor in comparison])),
    }
    attributes = {"trajectories": "Brian2", "brian2_steps": phases.steps}
    return Course(variables, coordinates, attributes, comparison)


def integrate(record: Equilibrium) -> Course:
    """Rates of the first image by SciPy, for the figure when Brian2 is left out."""
    trial = record.trial.samples([0])
    tau = max(trial.circuit.time_constants)
    times = np.linspace(0.05, 20, 200) * tau
    # error control would shorten steps without end where a unit slides along its kink
    slides = any(bool((slopes[0] > 0).any()) for slopes in record.sliding_slopes)
    step = FINE_STEP * min(trial.circuit.time_constants) if slides else None
    free = [values[:, 0] for values in ode.free_phase(trial, times, fixed_step=step)]
    states, _ = ode.integrate(trial, trial.at_rest(), times, fixed_step=step)
    rest = [rates[0] for rates in trial.activity.rates[1:]]
    nudged = [
        np.stack([rest[layer - 1] + state.absolute(layer)[0] for state in states])
        for layer in range(1, trial.network.depth + 1)
    ]
    variables, coordinates = _trajectories(record, 1e3 * times, 1e3 * times, free, nudged, rest)
    return Course(variables, coordinates, {"trajectories": "SciPy"})


def _trajectories(
    record: Equilibrium,
    free_time: np.ndarray,
    nudged_time: np.ndarray,
    free: Sequence[np.ndarray],
    nudged: Sequence[np.ndarray],
    rest: Sequence[np.ndarray],
) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]:
    """Rates (time, unit) of the units of each layer whose shifts are largest in the first image."""
    variables: dict[str, tuple[Any, ...]] = {}
    for layer in range(1, len(free) + 1):
        n = record.trial.network.n_projecting(layer)
        sizes = np.abs(record.shifts.values[layer - 1][0, :n])
        units = np.sort(np.argsort(sizes)[::-1][:8])
        shown = f"shown_{layer}"
        variables[f"free_rate_{layer}"] = (("free_time", shown), free[layer - 1][:, units])
        variables[f"nudged_rate_{layer}"] = (("nudged_time", shown), nudged[layer - 1][:, units])
        variables[f"rest_rate_{layer}"] = (shown, rest[layer - 1][units])
        variables[shown] = (shown, units.astype("i4"))
    coordinates: dict[str, tuple[Any, ...]] = {
        "free_time": ("free_time", free_time, {"units": "ms"}),
        "nudged_time": ("nudged_time", nudged_time, {"units": "ms"}),
    }
    return variables, coordinates

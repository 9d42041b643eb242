"""The settled circuit of the main command again, in time: by Brian2, or by SciPy for the figure.

Owns which of them it is, for how many images, and what is said where one is left out: a simulation
that cannot be had costs nothing that was found without it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from analysis.equilibrium.trajectories import integrate, simulate
from circuit.checks.room import MOST_SYNAPSES
from circuit.errors import CircuitError
from circuit.outcome import Equilibrium
from models.command.equilibrium_options import PROGRAM, brian2_images

_ROOM = f"into the {MOST_SYNAPSES} synapses that it can carry here"


@dataclass(frozen=True)
class InTime:
    """What a simulation has shown.

    Attributes
    ----------
    n_images : that Brian2 simulated
    comparison : per layer (relative error, float64 floor) of Brian2's shifts; None without Brian2
    trajectories : labelled rates of the first image; empty where there are none
    """

    n_images: int = 0
    comparison: list[tuple[float, float]] | None = None
    trajectories: xr.Dataset = field(default_factory=xr.Dataset)


def in_time(chosen: argparse.Namespace, record: Equilibrium, say: Callable[..., Any]) -> InTime:
    """Brian2 for as many images as are asked for and fit; SciPy where none is and a figure is."""
    if not record.converged:
        return InTime()
    n_images = 0 if chosen.no_brian2 else brian2_images(chosen, record.trial.network.widths)
    if n_images:
        asked = min(chosen.brian2_images, chosen.batch)
        if n_images < asked:
            say(f"Brian2: {n_images} of {asked} images fit {_ROOM}; this may take minutes")
        clock = time.perf_counter()
        try:
            comparison, trajectories = simulate(record, n_images)
        except (CircuitError, MemoryError) as error:
            warn(f"Brian2 is left out: {error}")
        else:
            steps = trajectories.attrs["brian2_steps"]
            seconds = time.perf_counter() - clock
            say(f"Brian2: {n_images} image(s), {steps} steps in {seconds:.1f} s")
            return InTime(n_images, comparison, trajectories)
    elif not chosen.no_brian2:
        say(f"Brian2 is left out: not even one image fits {_ROOM}")
    if chosen.no_figures:
        return InTime()
    try:
        return InTime(trajectories=integrate(record))
    except (CircuitError, MemoryError) as error:
        warn(f"no trajectories for the figure: {error}")
        return InTime()


def warn(words: str) -> None:
    """One line on standard error."""
    print(f"{PROGRAM}: warning: {' '.join(words.split())}", file=sys.stderr)

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
from functools import partial
from typing import Any

import xarray as xr

from analysis.equilibrium.trajectories import integrate, simulate
from circuit.checks.room import MOST_SYNAPSES
from circuit.errors import CircuitError
from circuit.outcome import Equilibrium
from models.command.beside import beside
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
    seconds : that Brian2 took
    """

    n_images: int = 0
    comparison: list[tuple[float, float]] | None = None
    trajectories: xr.Dataset = field(default_factory=xr.Dataset)
    seconds: float = 0.0


def in_time(
    chosen: argparse.Namespace,
    record: Equilibrium,
    say: Callable[..., Any],
    meanwhile: Callable[[], object] | None = None,
) -> InTime:
    """Brian2 for as many images as are asked for and fit; SciPy where none is and a figure is.

    `meanwhile` is done while Brian2 runs in a process beside this one; without it Brian2 runs here.
    """
    if not record.converged:
        return InTime()
    n_images = 0 if chosen.no_brian2 else brian2_images(chosen, record.trial.network.widths)
    if n_images:
        asked = min(chosen.brian2_images, chosen.batch)
        if n_images < asked:
            say(f"Brian2: {n_images} of {asked} images fit {_ROOM}; this may take minutes")
        timed = partial(_timed, record, n_images)
        try:
            if meanwhile is None:
                seconds, (comparison, trajectories) = timed()
            else:
                seconds, (comparison, trajectories) = beside(partial(_lean, timed), meanwhile)
        except (CircuitError, MemoryError) as error:
            warn(f"Brian2 is left out: {error}")
        else:
            steps = trajectories.attrs["brian2_steps"]
            say(f"Brian2: {n_images} image(s), {steps} steps in {seconds:.1f} s")
            return InTime(n_images, comparison, trajectories, seconds)
    elif not chosen.no_brian2:
        say(f"Brian2 is left out: not even one image fits {_ROOM}")
    if chosen.no_figures:
        return InTime()
    try:
        return InTime(trajectories=integrate(record))
    except (CircuitError, MemoryError) as error:
        warn(f"no trajectories for the figure: {error}")
        return InTime()


def _lean(work: Callable[[], Any]) -> Any:
    """Do it in a process where nobody plots: without pylab, whose every name it would take, Brian2
    loads in six tenths of the time.
    """
    unavailable: Any = None  # so Python's import reads it
    sys.modules.setdefault("pylab", unavailable)
    return work()


def _timed(record: Equilibrium, n_images: int) -> tuple[float, tuple[Any, xr.Dataset]]:
    """What `simulate` gives, and the seconds that it took, with those of loading Brian2."""
    clock = time.perf_counter()
    found = simulate(record, n_images)
    return time.perf_counter() - clock, found


def warn(words: str) -> None:
    """One line on standard error."""
    print(f"{PROGRAM}: warning: {' '.join(words.split())}", file=sys.stderr)

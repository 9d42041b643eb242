"""The settled circuit of the main command again, in time: by Brian2, or by SciPy for the figure.

Owns which of them it is, for how many images, and what is said where one is left out: a simulation
that cannot be had costs nothing that was found without it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.equilibrium.trajectories import Course, integrate, simulate
from circuit.checks.room import MOST_SYNAPSES
from circuit.errors import CircuitError
from circuit.outcome import Equilibrium
from models.command.equilibrium_options import PROGRAM, brian2_images

Simulated = tuple[float, Course]  # in so many seconds
_ROOM = f"into the {MOST_SYNAPSES} synapses that it can carry here"


@dataclass(frozen=True)
class InTime:
    """What a simulation has shown.

    Attributes
    ----------
    n_images : that Brian2 simulated
    course : of the first image, and how Brian2 compares; None where there is none
    seconds : that Brian2 took
    """

    n_images: int = 0
    course: Course | None = None
    seconds: float = 0.0

    @property
    def comparison(self) -> list[tuple[float, float]] | None:
        """Per layer (relative error, float64 floor) of Brian2's shifts; None without Brian2."""
        return list(self.course.comparison) if self.course and self.n_images else None


def in_time(
    chosen: argparse.Namespace,
    record: Equilibrium,
    say: Callable[..., Any],
    beside: Callable[[Equilibrium, int], Simulated] | None = None,
) -> InTime:
    """Brian2 for as many images as are asked for and fit; SciPy where none is and a figure is.

    `beside` simulates in place of this process.
    """
    if not record.converged:
        return InTime()
    n_images = 0 if chosen.no_brian2 else brian2_images(chosen, record.trial.network.widths)
    if n_images:
        asked = min(chosen.brian2_images, chosen.batch)
        if n_images < asked:
            say(f"Brian2: {n_images} of {asked} images fit {_ROOM}; this may take minutes")
        try:
            seconds, course = (beside or timed)(record, n_images)
        except (CircuitError, MemoryError) as error:
            warn(f"Brian2 is left out: {error}")
        else:
            steps = course.attributes["brian2_steps"]
            say(f"Brian2: {n_images} image(s), {steps} steps in {seconds:.1f} s")
            return InTime(n_images, course, seconds)
    elif not chosen.no_brian2:
        say(f"Brian2 is left out: not even one image fits {_ROOM}")
    if chosen.no_figures:
        return InTime()
    try:
        return InTime(course=integrate(record))
    except (CircuitError, MemoryError) as error:
        warn(f"no trajectories for the figure: {error}")
        return InTime()


def timed(record: Equilibrium, n_images: int) -> Simulated:
    """What `simulate` gives, and the seconds that it took, with those of loading Brian2 where it
    was not yet loaded.
    """
    clock = time.perf_counter()
    found = simulate(record, n_images)
    return time.perf_counter() - clock, found


def warn(words: str) -> None:
    """One line on standard error."""
    print(f"{PROGRAM}: warning: {' '.join(words.split())}", file=sys.stderr)

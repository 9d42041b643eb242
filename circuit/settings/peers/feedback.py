"""What rules with feedback weights of their own share: how large these are, and how they learn.

Owns the declarations that stand in more than one record. Standard library only.
"""

from __future__ import annotations

from dataclasses import replace

from circuit.settings.declaration import Count, Interval, Number

POSITIVE = Interval(0, float("inf"), "()", "0.1")

SCALE = Number(
    1.0,
    "standard deviation of the random feedback weights, over that of Gaussian feed-forward weights",
    within=replace(POSITIVE, example="1"),
    metavar="S",
)
NUDGE = Number(
    0.1,
    "eta: how far the output's target lies towards where its error points, per error",
    within=POSITIVE,
    metavar="E",
)
NOISE = Number(
    0.1,
    "standard deviation of the disturbance from which feedback learns, in units of the rates",
    within=POSITIVE,
    metavar="S",
)
RATE = Number(
    0.5,
    "learning rate of the feedback weights, between 0 and 2",
    within=Interval(0, 2, "()", "0.5", ", where it is stable"),
    metavar="R",
)
DECAY = Number(
    0.0,
    "decay of the feedback weights, in units of the variance of the disturbance: what damps "
    "Gauss-Newton",
    within=replace(POSITIVE, ends="[)", example="1e-4"),
    metavar="C",
)
STEPS = Count(
    1,
    "steps of the feedback weights for each step of the network, each from a new disturbance",
    least=0,
)
BEFORE = Count(
    0,
    "steps of the feedback weights at the beginning, from the first batch, on top of the others",
    least=0,
)


def steps_in(step: int, steps: int, before: int) -> int:
    """How many steps feedback weights make in the network's `step`, counted from 0."""
    return steps + before if step == 0 else steps

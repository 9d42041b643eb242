"""What can pull weights towards orthogonality: Eq. 23, or lateral inhibition in its place.

Owns the settings of each and their ranges. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuit.settings.declaration import Choice, Count, Interval, Number, Record

REGULARISER = "regulariser"
SIDES = ("rows", "columns")
MECHANISMS = ("inhibition", "whitening", "populations")  # that teach
PLACES = ("decorrelated_drives", "decorrelated_inputs")  # where inhibition acts
"""Where inhibition acts: on the drives of a layer, or on what it reads."""
SPONTANEOUS, TASK = PHASES = ("spontaneous", "task")

BY = "orthogonality_by"  # option name of what pulls
NO_LAMBDA = ({"orthogonality": 0},)
PULL = Choice(
    REGULARISER,
    "what pulls weights towards orthogonality: Eq. 23 (regulariser), or local plasticity alone. "
    "inhibition, whitening, populations: lateral inhibition teaches the synapses, with the same "
    "lambda; between different units, also of each unit itself, or through inhibitory cells. "
    "decorrelated_drives, decorrelated_inputs: it acts on the units, or on what they read, without "
    "lambda. Each has a lambda and a lateral rate of its own by default",
    option=BY,
    known=(REGULARISER, *MECHANISMS, *PLACES),
    idle=NO_LAMBDA,
)
RATE = Number(
    0.3,
    "rate at which lateral synapses learn, per step",
    option="lateral_rate",
    within=Interval(0, 1, "(]", "0.3"),
    metavar="R",
    needs={BY: (*MECHANISMS, *PLACES)},
    idle=NO_LAMBDA,
)


@dataclass(frozen=True)
class Strength(Record):
    """What all have that pulls with a lambda.

    Attributes
    ----------
    strength : lambda of Eq. 23
    every : it pulls in every k-th step, with weight k
    """

    strength: float = Number(
        0.1,
        "lambda, the strength of the pull towards orthogonal weights (Eq. 23)",
        option="orthogonality",
        called="orthogonality lambda",
        within=Interval(0, float("inf"), "[)", "0.1, or 0 for none"),
        metavar="L",
        needs={BY: (REGULARISER, *MECHANISMS)},
    ).field()
    every: int = Count(
        1,
        "pull in every K-th step, K times as strongly",
        option="orthogonality_every",
        metavar="K",
        needs={BY: (REGULARISER, *MECHANISMS)},
        idle=NO_LAMBDA,
    ).field()

    def in_step(self, step: int) -> float:
        """The strength lambda in a step of the network, counted from 0."""
        return 0.0 if step % self.every else self.strength * self.every


@dataclass(frozen=True)
class RegulariserSettings(Strength):
    """Of Eq. 23.

    Attributes
    ----------
    of : "rows", as printed, or "columns", as the public code effectively does
    """

    of: str = Choice(
        "rows",
        "what is pulled apart: rows, as printed in the paper, or columns, as its public code "
        "effectively does",
        option="orthogonality_of",
        known=SIDES,
        needs={BY: (REGULARISER,)},
        idle=NO_LAMBDA,
    ).field()


@dataclass(frozen=True, kw_only=True)
class InhibitionSettings(Strength):
    """Of lateral inhibition that teaches.

    Attributes
    ----------
    mechanism : one of `MECHANISMS`
    rate : of plasticity of the lateral synapses, per step
    during : "spontaneous" activity, or the "task", is when inhibition teaches
    samples : patterns of spontaneous activity in a step
    """

    mechanism: str = Choice("whitening", "", option=BY, known=MECHANISMS).field()
    rate: float = RATE.field()
    during: str = Choice(
        SPONTANEOUS,
        "inhibition teaches in phases of spontaneous activity, or from the images",
        option="lateral_during",
        known=PHASES,
        needs={BY: MECHANISMS},
        idle=NO_LAMBDA,
    ).field()
    samples: int = Count(
        64,
        "patterns of spontaneous activity in a step",
        option="spontaneous_samples",
        needs={BY: MECHANISMS},
        idle=(*NO_LAMBDA, {"lateral_during": TASK}),
    ).field()


@dataclass(frozen=True, kw_only=True)
class DecorrelationSettings(Record):
    """Of lateral inhibition that acts, without lambda.

    Attributes
    ----------
    place : one of `PLACES`
    rate : of plasticity of the lateral synapses, per step
    """

    place: str = Choice(PLACES[0], "", option=BY, known=PLACES).field()
    rate: float = RATE.field()


PULLS: tuple[type[Record], ...] = (RegulariserSettings, InhibitionSettings, DecorrelationSettings)

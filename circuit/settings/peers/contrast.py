"""What contrastive Hebbian learning and layered equilibrium propagation can be set to: one record.

Owns these settings and their ranges. Standard library only. The two rules are one
(`circuit.peers.contrast`), and differ in their defaults alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Choice, Count, Flag, Interval, Number, Record

FORCE, SPRING, CLAMP = NUDGES = ("force", "spring", "clamp")

POSITIVE = Interval(0, float("inf"), "()", "0.1")
GAMMA = Number(
    0.01,
    "feedback strength: a layer hears the one above through gamma times the transpose of its "
    "weights",
    called="feedback strength gamma",
    within=Interval(0, 1, "(]", "0.01"),
    metavar="G",
)
NUDGE = Choice(
    SPRING,
    "what moves the output: a constant force, a spring that slackens as it moves, or a clamp",
    known=NUDGES,
)
BETA = Number(0.1, "strength of the nudge", called="nudge beta", within=POSITIVE, metavar="B")
CENTRED = Flag(True, "contrast a nudge with its opposite, and not with the free state")


@dataclass(frozen=True)
class EquilibriumPropagationSettings(Record):
    """Of layered equilibrium propagation.

    `paper` has the symmetric weights and the one nudge of the code of Laborieux et al. for MNIST,
    whose beta of 0.1 is the default; gamma 0.01 is ours.

    Attributes
    ----------
    gamma : feedback strength, in (0, 1]
    nudge
        "force": `beta e` is added to the drive of the output, e being the error of the free state.
        "spring": the same with the error of the state that it comes to, `beta (t - s_L)` for the
        quadratic loss. "clamp": the rates of the output are held at their free ones plus `beta e`,
        which for beta 1 and the quadratic loss is the target.
    beta : how strong the nudge is
    centred : whether states with +beta and -beta are contrasted, or one with the free state
    tolerance : relative residual to reach in every layer of every image; 0: eps^0.64, which is
        1e-10 in float64 and 4e-5 in float32
    sweeps : budget, each of two passes over all layers
    """

    presets: ClassVar = {"paper": {"ep_gamma": 1.0, "ep_centred": "no"}}

    gamma: float = GAMMA.field()
    nudge: str = NUDGE.field()
    beta: float = BETA.field()
    centred: bool = CENTRED.field()
    tolerance: float = Number(
        0.0,
        "relative residual to reach in every layer of every image; 0: 1e-10 in float64, 4e-5 in "
        "float32",
        within=Interval(0, 1, "[)", "1e-10"),
        metavar="T",
    ).field()
    sweeps: int = Count(1000, "down and up the layers, that a state may take").field()


@dataclass(frozen=True)
class ContrastiveHebbianSettings(EquilibriumPropagationSettings):
    """Of contrastive Hebbian learning: the same with another nudge by default, the clamp at the
    target, contrasted with the free state, as in Xie and Seung. Its gamma is ours.
    """

    presets: ClassVar = {}

    nudge: str = Choice(CLAMP, NUDGE.words, known=NUDGES).field()
    beta: float = Number(1.0, BETA.words, called="nudge beta", within=POSITIVE, metavar="B").field()
    centred: bool = Flag(False, CENTRED.words).field()

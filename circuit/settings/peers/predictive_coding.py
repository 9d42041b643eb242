"""What the three kinds of predictive coding can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Choice, Count, Interval, Number, Record

EQUILIBRIUM, STATES = INFERENCES = ("equilibrium", "states")
POSITIVE = Interval(0, float("inf"), "()", "0.1")
TOLERANCE = Number(
    0.0,
    "relative residual of its own equations that is asked of every layer of every image; 0: what "
    "the precision allows, 1e-10 or 4e-5",
    within=Interval(0, 1, "[)", "1e-6"),
    metavar="T",
)


@dataclass(frozen=True)
class PredictiveCodingSettings(Record):
    """Predictive coding at the rest of its energy.

    Attributes
    ----------
    strength : lambda, of the loss beside the errors; 1 is the clamped output of Whittington and
        Bogacz
    inference : "equilibrium", by Newton's method; or "states", by steps down the gradient of the
        energy from the forward pass, as it is usually done
    step, steps : of "states": their length, and how many at most
    tolerance : see its words
    """

    prefix = "pc_"
    needs: ClassVar = {"rule": ("pc",)}
    presets: ClassVar = {"paper": {"pc_lambda": 1.0}}  # Whittington and Bogacz clamp the output

    strength: float = Number(
        0.1,
        "lambda, the strength of the loss; 1 is a clamped output",
        within=POSITIVE,
        metavar="L",
        option="pc_lambda",
    ).field()
    inference: str = Choice(
        EQUILIBRIUM,
        "how it comes to rest: by Newton's method (equilibrium), or by steps of the rates (states)",
        known=INFERENCES,
    ).field()
    step: float = Number(
        0.1,
        "length of a step of the rates",
        within=POSITIVE,
        metavar="S",
        needs={"pc_inference": (STATES,)},
    ).field()
    steps: int = Count(20, "steps of the rates at most", needs={"pc_inference": (STATES,)}).field()
    tolerance: float = TOLERANCE.field()


@dataclass(frozen=True)
class FixedPredictionSettings(Record):
    """Predictive coding with predictions that stay those of the forward pass.

    Attributes
    ----------
    strength : lambda, a factor of all errors
    step : of the errors towards what they should be; 1 is exact after as many sweeps as layers
    sweeps : at most; as many as are needed where None
    tolerance : see its words
    """

    prefix = "pc_fixed_"
    needs: ClassVar = {"rule": ("pc_fixed",)}

    strength: float = Number(
        1.0,
        "lambda, the strength of the loss",
        within=POSITIVE,
        metavar="L",
        option="pc_fixed_lambda",
    ).field()
    step: float = Number(
        1.0,
        "of the errors in each sweep, below 2",
        within=Interval(0, 2, "()", "1", ", where sweeps converge"),
        metavar="S",
    ).field()
    sweeps: int | None = Count(None, "at most (default: as many as are needed)").field()
    tolerance: float = TOLERANCE.field()


@dataclass(frozen=True)
class ErrorBasedSettings(Record):
    """Predictive coding whose unknowns are the errors: steps down the gradient from none.

    Attributes
    ----------
    strength : lambda
    step, steps : their length, and how many at most; one step gives back-propagation times it
    tolerance : see its words
    """

    prefix = "epc_"
    needs: ClassVar = {"rule": ("epc",)}

    strength: float = Number(
        0.1, "lambda, the strength of the loss", within=POSITIVE, metavar="L", option="epc_lambda"
    ).field()
    step: float = Number(
        0.1, "length of a step of the errors", within=POSITIVE, metavar="S"
    ).field()
    steps: int = Count(5, "steps of the errors at most").field()
    tolerance: float = TOLERANCE.field()

"""Adam (Kingma and Ba 2015): how far a parameter moves, given the direction in which it should.

Owns the running means of a direction and of its square, and the step made from them. Does not own
where the direction comes from: nothing here knows of weights or of learning rules.

With d the direction of descent (minus the gradient), entry by entry,

    m <- beta1 m + (1 - beta1) d ,      v <- beta2 v + (1 - beta2) d^2
    parameter <- parameter + learning_rate  m' / (sqrt(v') + epsilon)

where m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) in step t = 1, 2, ..., or m and v themselves
where the correction of their bias towards the zeros that they started from is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuit.arrays import Array, namespace
from circuit.errors import CircuitError


@dataclass(frozen=True)
class Adam:
    """Settings.

    Attributes
    ----------
    learning_rate : about the size of the step of every entry
    beta1, beta2 : memory of the means of the direction and of its square, in [0, 1)
    epsilon : keeps entries still that have hardly ever had a direction
    bias_correction : whether the means are corrected for having started from zero

    Raises
    ------
    CircuitError
        For a setting out of its range.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    bias_correction: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < float("inf"):
            raise CircuitError(
                f"learning rate {self.learning_rate} is not positive; use for example 1e-4"
            )
        for name, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0 <= value < 1:
                raise CircuitError(f"{name} = {value} is outside [0, 1); use for example 0.9")
        if not 0 < self.epsilon < float("inf"):
            raise CircuitError(f"epsilon {self.epsilon} is not positive; use for example 1e-8")


REFERENCE = Adam(beta2=0.99, bias_correction=False)  # of the paper's public code


def step(
    adam: Adam, steps: int, parameter: Array, direction: Array, first: Array, second: Array
) -> tuple[Array, Array, Array]:
    """The parameter after one more step, with its two means.

    Parameters
    ----------
    steps : how many were made before this one
    parameter, direction, first, second : arrays of one shape
        `direction` is minus the gradient; `first` and `second` are m and v, zeros at first.
    """
    xp = namespace(parameter, direction)
    first = adam.beta1 * first + (1 - adam.beta1) * direction
    second = adam.beta2 * second + (1 - adam.beta2) * direction * direction
    length, root_scale = _scales(adam, steps)
    return parameter + length * first / (xp.sqrt(second) * root_scale + adam.epsilon), first, second


def _scales(adam: Adam, steps: int) -> tuple[float, float]:
    """What m and sqrt(v) are multiplied by."""
    if not adam.bias_correction:
        return adam.learning_rate, 1.0
    return (
        adam.learning_rate / (1 - adam.beta1 ** (steps + 1)),
        (1 - adam.beta2 ** (steps + 1)) ** -0.5,
    )

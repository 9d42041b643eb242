"""Units of other libraries in terms of those that have an inverse here.

Owns the names by which other libraries call their units, and what is said where one is replaced.

ReLU has no inverse, and becomes a leaky ReLU with a slope that is said. The logistic unit becomes
tanh, and no output changes: s(h) = (1 + tanh(h / 2)) / 2, so that the weights into such units are
halved, and those that read them carry the rest. Softmax is left to the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from circuit.activations import Activation
from circuit.checks.given import shown
from circuit.errors import CircuitError
from circuit.units.leaky_relu import leaky_relu
from circuit.units.linear import linear
from circuit.units.table import ACTIVATIONS
from circuit.units.tanh import tanh

RELU_SLOPE = 0.01  # PyTorch's for LeakyReLU, from which a trained ReLU network differs little
NAMES = {
    "identity": "linear",
    "none": "linear",
    "relu": "relu",
    "leakyrelu": "leaky_relu",
    "sigmoid": "logistic",
    "logistic": "logistic",
    "softmax": "softmax",
    "logsoftmax": "softmax",
    "log_softmax": "softmax",
    "arcsinh": "asinh",
}


@dataclass(frozen=True)
class TakenIn:
    """A unit as it is taken in. Its rates are those of `unit`, times `factor`, plus `offset`.

    Attributes
    ----------
    unit : the unit that stands in its place
    into : what the weights and the bias of its layer are multiplied by
    note : what is to be said of it; "" where it is the same unit
    """

    unit: Activation
    into: float = 1.0
    factor: float = 1.0
    offset: float = 0.0
    note: str = ""


def taken_in(given: Any, relu_slope: float, *, last: bool) -> TakenIn:
    """The unit called `given`, or given itself.

    Parameters
    ----------
    last : whether it is that of the output layer

    Raises
    ------
    CircuitError
    """
    if isinstance(given, Activation):
        return TakenIn(given)
    name = given.lower() if isinstance(given, str) else given
    name = NAMES.get(name, name) if isinstance(name, str) else name
    if name == "relu":
        words = (
            f"ReLU is taken as a leaky ReLU of slope {relu_slope:g} below zero (relu_slope), since "
            "ReLU has no inverse"
        )
        return TakenIn(leaky_relu(relu_slope), note=words)
    if name == "logistic":
        words = "logistic units are taken as tanh, 2 s(h) - 1 = tanh(h / 2): the same function"
        if last:
            words = "logistic outputs p are taken as tanh, 2 p - 1: give targets from -1 to 1"
        return TakenIn(tanh(), into=0.5, factor=0.5, offset=0.5, note=words)
    if name == "softmax" and last:
        words = "the softmax of the output is left to the loss: use loss cross_entropy"
        return TakenIn(linear(), note=words)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise CircuitError(
            f"activation {shown(given)} is unknown; choose from {', '.join(ACTIVATIONS)}, relu, "
            "logistic, or softmax at the output"
        )
    return TakenIn(ACTIVATIONS[name]())

"""What `from circuit import ...` offers."""

from .circuit import Circuit
from .doors import load, save
from .dynamics import begin, build_circuit
from .equilibrium import settle
from .errors import (
    CircuitError,
    NotFinite,
    NotSettled,
    ShapeMismatch,
    SingularWeights,
    TargetOutOfRange,
)
from .initialisation.networks import initialise
from .labels.answers import accuracy, predict
from .losses import LOSSES, output_error
from .methods import METHODS
from .network import Activity, Network, forward
from .outcome import Equilibrium
from .plasticity import updates
from .rules import RULES
from .shifts import Shifts
from .storage import open_results
from .trial import Trial
from .units.asinh import asinh
from .units.clipped_tanh import clipped_tanh
from .units.leaky_relu import leaky_relu
from .units.linear import linear
from .units.tanh import tanh
from .verification.judgement import Status

__all__ = [
    "LOSSES",
    "METHODS",
    "RULES",
    "Activity",
    "Circuit",
    "CircuitError",
    "Equilibrium",
    "Network",
    "NotFinite",
    "NotSettled",
    "ShapeMismatch",
    "Shifts",
    "SingularWeights",
    "Status",
    "TargetOutOfRange",
    "Trial",
    "accuracy",
    "asinh",
    "begin",
    "build_circuit",
    "clipped_tanh",
    "forward",
    "initialise",
    "leaky_relu",
    "linear",
    "load",
    "open_results",
    "output_error",
    "predict",
    "save",
    "settle",
    "tanh",
    "updates",
]

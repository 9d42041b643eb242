"""What `from circuit import ...` offers."""

from .activations import Activation
from .circuit import Circuit
from .doors import load, save
from .dynamics import begin, build_circuit
from .equilibrium import settle
from .errors import (
    CircuitError,
    IllConditioned,
    NotFinite,
    NotSettled,
    Rounded,
    ShapeMismatch,
    SingularWeights,
    TargetOutOfRange,
)
from .feedback import PATHWAYS
from .initialisation.networks import initialise
from .initialisation.weights import INITIALISERS, gaussian, orthogonal
from .labels.answers import accuracy, predict
from .labels.targets import one_hot
from .learned_inverse.inverse_model import InverseModel, exact_model
from .losses import LOSSES, output_error
from .methods import METHODS
from .network import Activity, Network, forward
from .outcome import Equilibrium
from .plasticity import Update, updates
from .rules import (
    RULES,
    back_propagation,
    gait_propagation,
    grait_propagation,
    incremental_target_propagation,
    target_propagation,
)
from .shifts import Shifts
from .storage import load_network, open_results, save_network
from .trial import Trial
from .units.asinh import asinh
from .units.clipped_tanh import clipped_tanh
from .units.leaky_relu import leaky_relu
from .units.linear import linear
from .units.table import ACTIVATIONS
from .units.tanh import tanh
from .verification.judgement import Status

__all__ = [
    "ACTIVATIONS",
    "INITIALISERS",
    "LOSSES",
    "METHODS",
    "PATHWAYS",
    "RULES",
    "Activation",
    "Activity",
    "Circuit",
    "CircuitError",
    "Equilibrium",
    "IllConditioned",
    "InverseModel",
    "Network",
    "NotFinite",
    "NotSettled",
    "Rounded",
    "ShapeMismatch",
    "Shifts",
    "SingularWeights",
    "Status",
    "TargetOutOfRange",
    "Trial",
    "Update",
    "accuracy",
    "asinh",
    "back_propagation",
    "begin",
    "build_circuit",
    "clipped_tanh",
    "exact_model",
    "forward",
    "gait_propagation",
    "gaussian",
    "grait_propagation",
    "incremental_target_propagation",
    "initialise",
    "leaky_relu",
    "linear",
    "load",
    "load_network",
    "one_hot",
    "open_results",
    "orthogonal",
    "output_error",
    "predict",
    "save",
    "save_network",
    "settle",
    "tanh",
    "target_propagation",
    "updates",
]

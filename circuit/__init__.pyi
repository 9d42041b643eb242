"""What `from circuit import ...` offers."""

from .activations import ACTIVATIONS, Activation, asinh, clipped_tanh, leaky_relu, linear, tanh
from .doors import load, save
from .dynamics import Circuit, Trial, begin, build_circuit
from .equilibrium import Equilibrium, settle
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
from .labels.answers import accuracy, predict
from .labels.targets import one_hot
from .learned_inverse.inverse_model import InverseModel, exact_model
from .losses import LOSSES, output_error
from .methods import METHODS
from .network import INITIALISERS, Activity, Network, forward, gaussian, initialise, orthogonal
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

"""What `from circuit.plastic import ...` offers."""

from .circuit import Plastic, PlasticRecord, Timing
from .equations import layer_equations, synapse_equations
from .objects import (
    ANSWER,
    ARRIVE,
    LEARN,
    MOVE,
    SEND_DOWN,
    SUM_MESSAGES,
    SUM_PLASTIC,
    PlasticPieces,
    make_plastic_pieces,
)
from .run import advance_plastic, run_plastic
from .sleep import Sleep, spontaneous_patterns

__all__ = [
    "ANSWER",
    "ARRIVE",
    "LEARN",
    "MOVE",
    "SEND_DOWN",
    "SUM_MESSAGES",
    "SUM_PLASTIC",
    "Plastic",
    "PlasticPieces",
    "PlasticRecord",
    "Sleep",
    "Timing",
    "advance_plastic",
    "layer_equations",
    "make_plastic_pieces",
    "run_plastic",
    "spontaneous_patterns",
    "synapse_equations",
]

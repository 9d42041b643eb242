"""What `from circuit.brian import ...` offers."""

from .library import MOST_SYNAPSES
from .limits import float_floor, float_floors, longest_step, settling_time
from .objects import (
    RESPOND,
    SUM_DRIVES,
    SUM_FEEDBACK,
    Pieces,
    images_that_fit,
    make_pieces,
    read_rates,
    set_nudge,
    set_rates,
)
from .phases import (
    STARTS,
    BrianCircuit,
    PhaseRecord,
    advance,
    average_shifts,
    build,
    run_phases,
    whole_steps,
)
from .rate_equations import equations

__all__ = [
    "MOST_SYNAPSES",
    "RESPOND",
    "STARTS",
    "SUM_DRIVES",
    "SUM_FEEDBACK",
    "BrianCircuit",
    "PhaseRecord",
    "Pieces",
    "advance",
    "average_shifts",
    "build",
    "equations",
    "float_floor",
    "float_floors",
    "images_that_fit",
    "longest_step",
    "make_pieces",
    "read_rates",
    "run_phases",
    "set_nudge",
    "set_rates",
    "settling_time",
    "whole_steps",
]

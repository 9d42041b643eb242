"""What `from circuit.brian import ...` offers."""

from .limits import float_floor, float_floors, longest_step, settling_time
from .objects import (
    MOVE,
    RESPOND,
    SUM_DRIVES,
    SUM_FEEDBACK,
    Pieces,
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
    "MOVE",
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
    "longest_step",
    "make_pieces",
    "read_rates",
    "run_phases",
    "set_nudge",
    "set_rates",
    "settling_time",
    "whole_steps",
]

"""The circuit as a Brian2 model: groups of rate neurons, and synapses between them.

Owns the model and its runs, below `circuit.dynamics` and `circuit.plastic`, which say what is
simulated. Does not own the judgement whether a state is an equilibrium. Nobody imports this package
eagerly, for Brian2 takes a second. In the order in which one needs them:

library                   Brian2 itself, imported in this one file
rate_texts, pieces        equations of a trial, and the groups and synapses that hold them
phases                    the usual run: free phase, nudged phase, record
limits                    how long to run, and what float64 leaves of a shift
plastic_texts, plastic_pieces, plastic    circuits whose weights learn, awake and asleep
spontaneous               a layer whose synapses learn in spontaneous activity

A layer is one `NeuronGroup`, and a batch of images is so many copies of the circuit side by side in
the same groups: neuron `image * N_l + unit`. No synapse joins two images. NumPy arrays in float64
only.

Rates are absolute here, and a shift is the difference of two of them: `float_floor` says what
float64 leaves of it. For exact small shifts use another method.
"""

from circuit.brian.library import MOST_SYNAPSES
from circuit.brian.limits import float_floor, float_floors, settling_time
from circuit.brian.phases import (
    STARTS,
    BrianCircuit,
    PhaseRecord,
    advance,
    average_shifts,
    build,
    run_phases,
    whole_steps,
)
from circuit.brian.pieces import (
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
from circuit.brian.plastic import advance_plastic, run_plastic
from circuit.brian.plastic_pieces import (
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
from circuit.brian.plastic_texts import layer_equations, synapse_equations
from circuit.brian.rate_texts import equations
from circuit.brian.spontaneous import SHOW, run_spontaneous

__all__ = [
    "ANSWER",
    "ARRIVE",
    "LEARN",
    "MOST_SYNAPSES",
    "MOVE",
    "RESPOND",
    "SEND_DOWN",
    "SHOW",
    "STARTS",
    "SUM_DRIVES",
    "SUM_FEEDBACK",
    "SUM_MESSAGES",
    "SUM_PLASTIC",
    "BrianCircuit",
    "PhaseRecord",
    "Pieces",
    "PlasticPieces",
    "advance",
    "advance_plastic",
    "average_shifts",
    "build",
    "equations",
    "float_floor",
    "float_floors",
    "images_that_fit",
    "layer_equations",
    "make_pieces",
    "make_plastic_pieces",
    "read_rates",
    "run_phases",
    "run_plastic",
    "run_spontaneous",
    "set_nudge",
    "set_rates",
    "settling_time",
    "synapse_equations",
    "whole_steps",
]

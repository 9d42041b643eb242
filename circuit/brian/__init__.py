"""The circuit as a Brian2 model: groups of rate neurons, and synapses between them.

Owns the model and its runs, below `circuit.dynamics`, which says what is simulated. Nobody imports
this package eagerly, for Brian2 takes a second. In the order in which one needs them:

library                   Brian2 itself, imported in this one file
extra                     what a user adds to the equations of a layer
rate_equations, objects   equations of a trial, and the groups and synapses that hold them
phases                    the usual run: free phase, nudged phase, record
limits                    how long to run, and what float64 leaves of a shift

A layer is one `NeuronGroup`, and a batch of images is so many copies of the circuit side by side in
the same groups: neuron `image * N_l + unit`. No synapse joins two images. NumPy arrays in float64
only.

Rates are absolute here, and a shift is the difference of two of them: `float_floor` says what
float64 leaves of it. For exact small shifts use another method.
"""

import lazy_loader

import circuit.brian.library  # noqa: F401 - Brian2 itself, before a user's own import of it

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

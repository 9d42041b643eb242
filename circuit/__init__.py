"""Cortical circuits with weak feedback whose equilibrium carries the targets of GAIT-prop.

Pure functions of arrays. `from circuit import initialise, build_circuit, begin, settle, updates`
offers what most need, each file being loaded when one of its names is first used. The files beside
the wings, in the order in which data take their way, and in which to read them:

errors, given                           what is refused, and how
brief, remembered, reached              how records are printed, pickled, and find their doors
activations, network, losses            what a network is and computes
targets                                 labels as targets of the outputs
feedback, shifts, messages, rules       what the algorithms say its synapses should learn from
plasticity                              from shifts to weight changes, locally
inverse_model                           feedback that is not the exact inverse
dynamics, shift_dynamics, jacobian      the circuit that is to compute the same shifts
method, equilibrium                     where it comes to rest, and what became of the attempt
answers                                 what a network says of an image

The wings, each with a face of its own (`from circuit.learning import Lesson, learn`):

methods               ways to look for the equilibrium, one file each
verification          whether a state is at rest, and how far off it can be
report                what a settled circuit is reported by
learning              one step of learning
settings              what such a step can be set to, each setting declared once, without NumPy
learned_inverse       feedback that learns to invert
lateral_inhibition    inhibition that keeps weights orthogonal
brian, plastic        the same circuit in Brian2, and with weights that learn while it runs
numerics              arrays, inverses, singular values, random numbers
storage               networks, records and results on disk
peers                 other theories of what a layer should learn from, one file a rule
doors                 networks that were trained elsewhere, in files or other libraries
sklearn               a classifier for scikit-learn, in a file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

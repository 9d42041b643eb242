"""Cortical circuits with weak feedback whose equilibrium carries the targets of GAIT-prop.

Pure functions of arrays. `from circuit import initialise, build_circuit, begin, settle, updates`
offers what most need, each file being loaded when one of its names is first used. The files beside
the wings, in the order in which data take their way, and in which to read them:

errors                                  what is refused
activations, network, losses            what a network is and computes
feedback, shifts, messages, rules       what the algorithms say its synapses should learn from
plasticity                              from shifts to weight changes, locally
circuit, trial, dynamics                the circuit that is to compute the same shifts
shift_dynamics                          the same in coordinates in which no digit is lost
method, outcome, equilibrium            where it comes to rest, and what became of the attempt

The wings, each with a face of its own (`from circuit.learning import Lesson, learn`):

checks                what counts as a number, a count, a name
records               how records are printed and pickled, and find the doors above them
labels                labels as targets, and what a network answers of an image
initialisation        networks with random weights
units                 the activation functions that have a name, one file each
settling              the loop in which a method settles a batch
linearisation         how a small change of a state goes on
methods               ways to look for the equilibrium, one file each
verification          whether a state is at rest, and how far off it can be
report                what a settled circuit is reported by
learning              one step of learning
settings              what such a step can be set to, each setting declared once, without NumPy
learned_inverse       feedback that is not the exact inverse, given or learned
lateral_inhibition    inhibition that keeps weights orthogonal
brian, plastic        the same circuit in Brian2, and with weights that learn while it runs
numerics              arrays, inverses, singular values, random numbers
storage               networks, records and results on disk
peers                 other theories of what a layer should learn from, one file a rule
doors                 networks that were trained elsewhere, in files or other libraries
sklearn               a classifier for scikit-learn
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

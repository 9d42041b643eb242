"""Cortical circuits with weak feedback whose equilibrium carries the targets of GAIT-prop.

The physics: pure functions of arrays. In the order in which data take their way:

activations, network, losses   what a network is and computes
feedback, rules, shifts        what the algorithms say its synapses should learn from
dynamics, shift_dynamics       the circuit that is to compute the same
jacobian, linearised           its derivative
equilibrium, methods           where it comes to rest
verification, batches, bounds  whether it has, and how far off it can be
plasticity                     from shifts to weight changes, locally
brian                          the same circuit in Brian2
"""

"""Layers that each hear the one below and, weakly, the one above: states of an energy, contrasted.

Reading order: layers, nudge, sweeps, critical, states. The rules `chl` and `ep` are made of it.
"""

"""Auxiliary outputs, which nothing waits for while a state is sought: they follow once at the end.

Owns the push without them, and their rates afterwards.
"""

from __future__ import annotations

from circuit.network import Network
from circuit.numerics.arrays import Array, namespace, rows_times, widened


def push_up(network: Network, layer: int, rates_below: Array) -> Array:
    """As `Network.push`, with 0 for the auxiliary outputs."""
    if layer < network.depth:
        return network.push(layer, rates_below)
    return widened(network.push(layer, rates_below, network.n_outputs), network.widths[-1])


def with_auxiliaries(network: Network, rates_below: Array, *outputs: Array) -> tuple[Array, ...]:
    """Rates, drives and slopes of the outputs, as many of these as are given, those of the
    auxiliary outputs being replaced by what the rates below make of them.
    """
    n, unit, xp = network.n_outputs, network.activations[-1], namespace(rates_below)
    if n == network.widths[-1]:
        return outputs
    weights, biases = network.weights[-1][..., n:, :], network.biases[-1][..., n:]
    read = rates_below[..., : weights.shape[-1]]
    drives = rows_times(read, weights) + xp.expand_dims(biases, axis=-2)
    found = (unit.value(drives), drives, unit.slope(drives))
    pairs = zip(outputs, found, strict=False)
    return tuple(xp.concat([one[..., :n], other], axis=-1) for one, other in pairs)

"""One pass from the output down with couplings given, and the couplings that its state implies.

Owns the record of such a descent. Does not own the equations at the units (`unit_equations`), nor
how often one descends (`couplings`, `method`, where the theory is).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuit.circuit import Circuit
from circuit.methods.direct.unit_equations import known_ratio, ratio, solve_units
from circuit.numerics.arrays import Array, flattened, row_norms, take_rows, widened
from circuit.numerics.scale import Scale, times
from circuit.records.brief import Brief
from circuit.shifts import excess
from circuit.trial import Trial

Through = Callable[[int, Array], Array]  # (layer, array) -> the array beyond W_layer
Couplings = Sequence[Array | None]  # Q_1 .. Q_L, None where zero


@dataclass(frozen=True, eq=False, repr=False)
class Descent(Brief):
    """One pass from the output down.

    Attributes
    ----------
    values : d_l for l = 1 .. L, if the descent went all the way
    sizes : the norm of d_l, (..., batch), for the layers above
    inflows : what reached each layer from above, in units of its scale
    messages : v_l, if the descent went all the way
    carried : the part of d_l whose way through the weights above is not yet accounted for; None
        where there is none
    scales : s_1 .. s_L
    crossed : samples in which a unit crossed its kink (all of them, for units that curve)
    """

    values: tuple[Array | None, ...]
    sizes: tuple[Array | None, ...]
    inflows: tuple[Array | None, ...]
    messages: tuple[Array | None, ...]
    carried: tuple[Array | None, ...]
    scales: tuple[Scale, ...]
    crossed: frozenset[int] = frozenset()

    def samples(self, rows: Sequence[int]) -> Descent:
        """The descent of some samples of the batch."""
        return Descent(
            some_samples(self.values, rows),
            some_samples(self.sizes, rows),
            some_samples(self.inflows, rows),
            some_samples(self.messages, rows),
            some_samples(self.carried, rows),
            self.scales,
            frozenset(place for place, row in enumerate(rows) if row in self.crossed),
        )


def descend(
    trial: Trial,
    couplings: Couplings,
    pull: Through,
    scales: Sequence[Scale] | None = None,
    *,
    bottom: int = 1,
    values_only: bool = False,
) -> Descent:
    """From the output error to the shifts of all layers down to `bottom`, with Q given.

    `scales` are the units of Q. A first descent, which has no Q, takes the circuit's natural scales
    and lets them follow the growth of the shifts.
    """
    circuit, network = trial.circuit, trial.network
    depth = network.depth
    used = list(trial.scales if scales is None else scales)
    values: list[Array | None] = [None] * depth
    sizes: list[Array | None] = [None] * depth
    inflows: list[Array | None] = [None] * depth
    carried: list[Array | None] = [None] * depth
    messages: list[Array | None] = [None] * depth
    crossed: set[int] = set()
    inflow = times(trial.error, Scale.of(circuit.strength(depth)).over(used[-1]))
    for layer in range(depth, bottom - 1, -1):
        i = layer - 1
        value, message, rest, rows = solve_units(trial, layer, inflow, couplings[i], used)
        if bottom == 1:
            values[i] = value
        if not values_only:
            sizes[i], inflows[i], carried[i] = row_norms(value), inflow, rest
            messages[i] = message if bottom == 1 else None
        crossed.update(rows)
        if layer == bottom:
            break
        inflow = sent_ratio(circuit, used, layer) * pull(layer, message)
        if scales is None:
            step = excess(inflow)
            if step:
                inflow = times(inflow, Scale(0.5, 1 - step))
            # the layers below inherit the growth, so that the ratios of scales stay moderate
            used[:i] = [scale.shifted(step) for scale in used[:i]]
        inflow = widened(inflow, network.widths[layer - 1])
    return Descent(
        tuple(values),
        tuple(sizes),
        tuple(inflows),
        tuple(messages),
        tuple(carried),
        tuple(used),
        frozenset(crossed),
    )


def ascend(
    trial: Trial, descent: Descent, couplings: list[Array | None], push: Through
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the couplings Q_1 .. Q_L by those that the state of a descent implies.

    Returns
    -------
    How far each sample is off because of the couplings that the descent was made with, and how
    large its couplings are beside its shifts; both relative, the worst layer, (samples,).
    """
    circuit, network = trial.circuit, trial.network
    samples = int(np.prod(trial.error.shape[:-1]))
    change, size = np.zeros(samples), np.zeros(samples)
    below = None  # Q of the layer below
    for layer in range(3, network.depth + 1):
        carried = descent.carried[layer - 2]
        if below is not None:
            _, _, carried, _ = solve_units(
                trial, layer - 1, descent.inflows[layer - 2], below, descent.scales
            )
        below = None
        if carried is None:
            continue
        below = push(layer, carried[..., : network.widths[layer]])
        old, couplings[layer - 1] = couplings[layer - 1], below
        # a sample without error has no shift and no coupling
        shift = flattened(descent.sizes[layer - 1])
        relative = ratio(descent.scales, layer - 1, layer) / np.where(shift == 0, 1.0, shift)
        moved = relative * flattened(row_norms(below if old is None else below - old))
        if circuit.pathway.gradient_adjusted:
            # what is sent down depends on a coupling at the output alone, unless a kink is near
            felt = np.full(samples, circuit.strength(layer) if layer == network.depth else 0.0)
            felt[list(descent.crossed)] = 1.0
            moved = moved * felt
        change = np.maximum(change, moved)
        size = np.maximum(size, relative * flattened(row_norms(below)))
    return change, size


def some_samples(arrays: Sequence[Array | None], rows: Sequence[int]) -> tuple[Array | None, ...]:
    """Some samples of the batch of every array there is."""
    return tuple(None if array is None else take_rows(array, rows) for array in arrays)


def sent_ratio(circuit: Circuit, scales: Sequence[Scale], layer: int) -> float:
    """What W_l^-1 v_l is multiplied by on its way into layer l-1."""
    if circuit.pathway.gradient_adjusted:
        return known_ratio(circuit, scales, layer)
    return circuit.strength(layer - 1) * ratio(scales, layer, layer - 1)

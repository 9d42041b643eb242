"""The Jacobian of the circuit at one sample as a matrix."""

from __future__ import annotations

import array_api_compat

from circuit.errors import CircuitError
from circuit.linearisation.jacobian import jacobian_product
from circuit.network import Activity
from circuit.numerics.arrays import Array, namespace
from circuit.numerics.scale import ONE
from circuit.shifts import Shifts, require_fits
from circuit.trial import Trial


def dense_jacobian(trial: Trial, shifts: Shifts, sample: int = 0) -> Array:
    """The Jacobian at one sample of the batch as a matrix, in 1/s and in units of the rates.

    For small circuits: a square matrix with as many rows as the circuit has units, layers 1 .. L
    in order. Raises `CircuitError` for more than 4096 units, a stack of networks, or a sample that
    is not there, and `ShapeMismatch` for shifts of another network or batch.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.linearisation import dense_jacobian
    >>> circuit = build_circuit(initialise([3, 3, 3], 0, activation="linear"), "itp", 0.5)
    >>> trial = begin(circuit, [[0.1, 0.2, 0.3]], [1])
    >>> rates = np.linalg.eigvals(dense_jacobian(trial, settle(trial).shifts)) * 0.01  # per tau
    >>> np.unique(rates.real.round(6))  # -1 +- 2 sqrt(gamma (1 - gamma)) cos(pi / 3)
    array([-1.5, -0.5])
    """
    network = trial.network
    widths = network.widths[1:]
    total = sum(widths)
    if total > 4096 or trial.error.ndim != 2:
        raise CircuitError(
            f"a dense Jacobian of {total} units; use at most 4096 units and one network, "
            "or jacobian_product"
        )
    xp = namespace(trial.error)
    trial.require_sample(sample)
    require_fits(shifts, trial.activity.rates[1:])

    def repeated(array: Array) -> Array:
        return xp.broadcast_to(array[sample : sample + 1, :], (total, array.shape[-1]))

    many = Trial(
        trial.circuit,
        Activity(
            tuple(map(repeated, trial.activity.rates)),
            tuple(map(repeated, trial.activity.drives)),
            tuple(map(repeated, trial.activity.slopes)),
        ),
        repeated(trial.error),
        still=None if trial.still is None else tuple(map(repeated, trial.still)),
    )
    absolute = Shifts(
        tuple(repeated(shifts.absolute(layer)) for layer in range(1, network.depth + 1)),
        (ONE,) * network.depth,
        shifts.gains,
    )
    eye = xp.eye(total, dtype=trial.error.dtype, device=array_api_compat.device(trial.error))
    tangents, start = [], 0
    for width in widths:
        tangents.append(eye[:, start : start + width])
        start += width
    columns = jacobian_product(many, absolute, tangents)
    return xp.matrix_transpose(xp.concat(list(columns), axis=-1))

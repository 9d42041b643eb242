"""The Jacobian of the circuit in shift coordinates, times tangents.

Owns the derivative of `circuit.shift_dynamics.shift_velocity`. Does not own the diagonals that it
has beside the weights (`circuit.linearisation.diagonals`), its transpose (`analysis.linearised`),
nor what eigenvalues say (`analysis/stability.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.checks.given import require_kind
from circuit.linearisation.diagonals import diagonals
from circuit.numerics.arrays import Array, namespace
from circuit.shift_dynamics import balance, scale_ratio
from circuit.shifts import Shifts, require_fits
from circuit.trial import Trial


def jacobian_product(trial: Trial, shifts: Shifts, tangents: Sequence[Array]) -> tuple[Array, ...]:
    """The Jacobian of `shift_velocity` at `shifts` times `tangents`, without forming it.

    Parameters
    ----------
    tangents : L arrays (..., batch, N_l), in units of the scales of `shifts`

    Returns
    -------
    L arrays (..., batch, N_l), in 1/s

    Raises
    ------
    ShapeMismatch

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.linearisation import jacobian_product
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> moved = jacobian_product(trial, settle(trial).shifts, [np.ones((1, 3)), np.zeros((1, 3))])
    >>> [change.shape for change in moved]
    [(1, 3), (1, 3)]
    """
    require_kind("shifts", shifts, Shifts)
    require_fits(shifts.with_values(tuple(tangents)), trial.activity.rates[1:])
    xp = namespace(trial.error)
    circuit, network = trial.circuit, trial.network
    terms = balance(trial, shifts)
    pushed: list[Array] = [None]  # the tangent of p_l
    messages: list[Array] = [None]  # the tangent of v_l
    for layer in range(2, network.depth + 1):
        slope, own, fed = diagonals(trial, shifts, terms, layer)
        ratio = scale_ratio(shifts, layer - 1, layer)
        drive_tangent = ratio * network.push(layer, tangents[layer - 2])
        pushed.append(slope * drive_tangent)
        messages.append(own * tangents[layer - 1] + fed * drive_tangent)
    products = []
    for layer in range(1, network.depth + 1):
        gamma, n = circuit.strength(layer), network.n_projecting(layer)
        if trial.is_free and layer == network.depth:
            gamma = 0.0
        change = -tangents[layer - 1]
        if pushed[layer - 1] is not None:
            change = change + pushed[layer - 1]
            slowed = change[..., :n] - gamma * pushed[layer - 1][..., :n]
        else:
            slowed = change[..., :n]
        if layer < network.depth:
            weight = gamma * scale_ratio(shifts, layer + 1, layer)
            slowed = slowed + weight * circuit.pull(layer + 1, messages[layer])
            if circuit.sends_deviations:
                slowed = slowed + gamma * tangents[layer - 1][..., :n]
        products.append(
            xp.concat([slowed, change[..., n:]], axis=-1) / circuit.time_constants[layer - 1]
        )
    return tuple(products)

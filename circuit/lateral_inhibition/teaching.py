"""Plastic lateral inhibition that teaches synapses to be orthogonal, from local signals only.

Owns the lateral circuits of a layer (what their rates settle at, and how their synapses learn), the
spontaneous activity that they learn in, and the direction in which they pull the feed-forward
weights of the layer. Does not own Eq. 23, whose place this takes (`circuit.learning.regulariser`),
inhibition that acts while the task is done (`acting`), nor Adam.

The units of a layer get the drives u = W x and inhibit one another until their rates rest:

    inhibition    r = u - M r                anti-Hebbian:  dM_ij = eta <r_i r_j> ,  i != j
    whitening     r = u - M r                the same, and of itself: dM_ii = eta (<r_i^2> - 1)
    populations   k r = u - Q s ,  s = P r   Hebbian with decay: dP = eta (<s r^T> - P) ,
                                                                 dQ = eta (<r s^T> - Q)

with excitatory rates r and inhibitory rates s (King, Zylberberg and DeWeese 2013 have such cells,
spiking), and leak k < 1. Lateral plasticity rests where rates are uncorrelated (inhibition), or
uncorrelated and of variance 1 (the others; populations only where u has a variance above k^2). With
C = <u u^T>, whitening and populations have one fixed point for all three,

    r = C^-1/2 u .

Every feed-forward synapse then learns from what its own unit lost, and its own presynaptic rate:

    dW = -8 lambda <(u - r) x^T>

In spontaneous phases, in which presynaptic units fire independently (<x x^T> = 1), C = W W^T and at
the lateral fixed point dW = 8 lambda (V - W), where V = (W W^T)^-1/2 W is the orthogonal matrix
nearest to W. To first order in W W^T - 1 all this is the descent on Eq. 23 with its lambda
(inhibition) or on the same with the diagonal (the others). With the images of the task in place of
spontaneous activity C is W <x x^T> W^T, and what is pulled apart is something else.

Rates are deviations from a unit's resting rate, and may be negative; so may synapses. Arrays are
(..., samples, units), weights (..., n_post, n_pre).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import array_api_compat
import numpy as np

from circuit.errors import CircuitError
from circuit.numerics.arrays import Array, namespace, outer_sum, rows_times
from circuit.numerics.keyed_random import signs

LEAK = 0.5  # k of the populations; any below 1 that variances do not fall below the square of
KEYS = "spontaneous_keys"
STREAM = 101  # of random numbers, so that other uses of the same key do not draw them too

Companions = Mapping[str, tuple[Array, ...]]
Synapses = tuple[Array, ...]  # those of one layer: (M,) or (P, Q)


@dataclass(frozen=True)
class Mechanism:
    """A kind of lateral circuit.

    Attributes
    ----------
    names : of the companions that hold its synapses, each one array for every layer
    begin : (units, like) -> synapses before any learning, `like` an array to take the kind from
    settle : (synapses, drives) -> rates at rest, arrays (..., samples, n)
    learn : (synapses, rates, rate) -> synapses a step later

    Examples
    --------
    >>> from circuit.lateral_inhibition import MECHANISMS
    >>> MECHANISMS["populations"].names
    ('to_inhibitory', 'from_inhibitory')
    """

    names: tuple[str, ...]
    begin: Callable[[int, Array], Synapses]
    settle: Callable[[Synapses, Array], Array]
    learn: Callable[[Synapses, Array, float], Synapses]


def settle_lateral(synapses: Synapses, drives: Array) -> Array:
    """Rates r = (1 + M)^-1 u of one population.

    Raises
    ------
    CircuitError
        Where 1 + M is not positive definite: rates that follow dr/dt = -r + u - M r then run away.
    """
    system = shifted(synapses[0], 1.0)
    require_stable(system)
    return solved(system, drives)


def learn_lateral(synapses: Synapses, rates: Array, rate: float) -> Synapses:
    """Anti-Hebbian plasticity between different units."""
    (lateral,) = synapses
    return (lateral + rate * without_diagonal(correlations(rates, rates)),)


def learn_whitening(synapses: Synapses, rates: Array, rate: float) -> Synapses:
    """Anti-Hebbian plasticity between all units, and of each one's self-inhibition."""
    (lateral,) = synapses
    return (lateral + rate * shifted(correlations(rates, rates), -1.0),)


def settle_populations(synapses: Synapses, drives: Array) -> Array:
    """Excitatory rates r = (k + Q P)^-1 u; with Q = P^T there is always a stable rest."""
    to_inhibitory, from_inhibitory = synapses
    product = namespace(drives).matmul(from_inhibitory, to_inhibitory)
    return solved(shifted(product, LEAK), drives)


def learn_populations(synapses: Synapses, rates: Array, rate: float) -> Synapses:
    """Hebbian plasticity with decay in both directions."""
    to_inhibitory, from_inhibitory = synapses
    inhibitory = rows_times(rates, to_inhibitory)
    grown = correlations(inhibitory, rates)
    back = correlations(rates, inhibitory)
    return (
        to_inhibitory + rate * (grown - to_inhibitory),
        from_inhibitory + rate * (back - from_inhibitory),
    )


def begin_lateral(units: int, like: Array) -> Synapses:
    """No lateral synapses, M = 0."""
    xp = namespace(like)
    return (xp.zeros((*like.shape[:-2], units, units), dtype=like.dtype, device=_device(like)),)


def begin_populations(units: int, like: Array) -> Synapses:
    """As many inhibitory cells as units, each joined to one; at rest for drives of variance 1."""
    (zeros,) = begin_lateral(units, like)
    pairs = (1 - LEAK) ** 0.5 * shifted(zeros, 1.0)
    return pairs, pairs


MECHANISMS: dict[str, Mechanism] = {
    "inhibition": Mechanism(("lateral",), begin_lateral, settle_lateral, learn_lateral),
    "whitening": Mechanism(("lateral",), begin_lateral, settle_lateral, learn_whitening),
    "populations": Mechanism(
        ("to_inhibitory", "from_inhibitory"),
        begin_populations,
        settle_populations,
        learn_populations,
    ),
}
"""Lateral circuits that teach the synapses."""


# --- beside a learning network ---


def first_circuits(
    name: str, weights: Sequence[Array], keys: Array
) -> dict[str, tuple[Array, ...]]:
    """Lateral circuits of all layers before any learning, and the keys of spontaneous activity.

    Parameters
    ----------
    name : in `MECHANISMS`
    weights : L arrays (..., n_post, n_pre)
    keys : int64 array (...), one for each network of the stack

    Raises
    ------
    CircuitError
        For whitening in a layer of more units than it reads: they cannot be uncorrelated.
    """
    kind = MECHANISMS[name]
    for layer, one in enumerate(weights, 1):
        if name == "whitening" and one.shape[-2] > one.shape[-1]:
            raise CircuitError(
                f"layer {layer} has {one.shape[-2]} units that read {one.shape[-1]}; whitening "
                "cannot make them all uncorrelated: use populations, or narrower layers"
            )
    layers = [kind.begin(one.shape[-2], one) for one in weights]
    companions = dict(zip(kind.names, zip(*layers, strict=True), strict=True))
    return companions | {KEYS: (keys,)}


def spontaneous(keys: Array, step: int, layer: int, samples: int, weights: Array) -> Array:
    """Independent rates of mean 0 and variance 1 of the units that a layer reads.

    They depend on key, step and layer alone: a network in a stack, or a run that goes on, sees the
    same. Of them only the covariance matters, so they are random signs.

    Parameters
    ----------
    keys : int64 array (...), one for each network of the stack
    weights : array (..., n_post, n_pre)

    Returns
    -------
    array (..., samples, n_pre)
    """
    xp = namespace(weights)
    like = xp.empty((*weights.shape[:-2], samples, 1), dtype=weights.dtype, device=_device(weights))
    return signs(keys, (STREAM, step, layer), like, weights.shape[-1])


def teach(
    name: str, synapses: Synapses, weights: Array, presynaptic: Array, rate: float, strength: float
) -> tuple[Array, Synapses]:
    """One layer: the direction in which W is pulled, and its lateral synapses a step later.

    Parameters
    ----------
    name : in `MECHANISMS`
    weights : array (..., n_post, n_pre)
    presynaptic : array (..., samples, n_pre), spontaneous rates or those of the task
    rate : eta, of the lateral synapses
    strength : lambda

    Raises
    ------
    CircuitError
        Where the lateral circuit has no stable rest.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.lateral_inhibition import MECHANISMS, teach
    >>> W, rates = np.ones((2, 3)), np.random.default_rng(0).standard_normal((50, 3))
    >>> synapses = MECHANISMS["whitening"].begin(2, W)
    >>> pull, synapses = teach("whitening", synapses, W, rates, 0.3, 0.1)
    >>> pull.shape
    (2, 3)
    """
    kind = MECHANISMS[name]
    drives = rows_times(presynaptic, weights)
    rates = kind.settle(synapses, drives)
    direction = (-8 * strength) * correlations(drives - rates, presynaptic)
    return direction, kind.learn(synapses, rates, rate)


def teach_all(
    name: str,
    companions: Companions,
    weights: Sequence[Array],
    presynaptic: Sequence[Array],
    rate: float,
    strength: float,
) -> tuple[list[Array], dict[str, tuple[Array, ...]]]:
    """`teach` for every layer; companions of other names are left as they are."""
    names = MECHANISMS[name].names
    directions, layers = [], []
    for i, (one, rates) in enumerate(zip(weights, presynaptic, strict=True)):
        own = tuple(companions[part][i] for part in names)
        try:
            direction, own = teach(name, own, one, rates, rate, strength)
        except CircuitError as error:
            raise CircuitError(f"layer {i + 1}: {error}") from None
        directions.append(direction)
        layers.append(own)
    learnt = dict(zip(names, zip(*layers, strict=True), strict=True))
    return directions, dict(companions) | learnt


# --- small matrices ---


def correlations(first: Array, second: Array) -> Array:
    """Mean over the samples of first_i second_j, `(..., n_first, n_second)`."""
    return outer_sum(first, second) / first.shape[-2]


def shifted(matrix: Array, number: float) -> Array:
    """The matrix plus `number` times the identity."""
    xp, n = namespace(matrix), matrix.shape[-1]
    return matrix + number * xp.eye(n, dtype=matrix.dtype, device=_device(matrix))


def without_diagonal(matrix: Array) -> Array:
    """The matrix with zeros on its diagonal."""
    xp, n = namespace(matrix), matrix.shape[-1]
    eye = xp.eye(n, dtype=xp.bool, device=_device(matrix))
    return xp.where(eye, xp.zeros_like(matrix), matrix)


def solved(system: Array, rows: Array) -> Array:
    """A^-1 applied to every row."""
    xp = namespace(rows)
    return xp.matrix_transpose(xp.linalg.solve(system, xp.matrix_transpose(rows)))


def require_stable(system: Array) -> None:
    """Raise `CircuitError` unless the symmetric matrix is positive definite."""
    try:
        namespace(system).linalg.cholesky(system)
    except (np.linalg.LinAlgError, RuntimeError):  # of NumPy, of PyTorch
        raise CircuitError(
            "lateral inhibition has become so strong that rates run away; use a lower lateral "
            "rate or more spontaneous samples"
        ) from None


def _device(array: Array) -> object:
    return array_api_compat.device(array)

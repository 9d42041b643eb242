"""Lateral inhibition beside a learning network: what it adds to a step of learning.

Owns the companions in which lateral synapses live, and the choice between inhibition that teaches
(`teaching`), inhibition that acts (`acting`) and none. Does not own either, nor the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import array_api_compat

from circuit.errors import CircuitError
from circuit.given import is_whole, require_choice, shown
from circuit.lateral_inhibition import acting, teaching
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, all_finite, namespace, require_finite

if TYPE_CHECKING:
    from circuit.learning.lesson import Lesson

REGULARISER = "regulariser"
ORTHOGONALITY_BY = (REGULARISER, *teaching.MECHANISMS, *acting.PLACES)

Companions = Mapping[str, tuple[Array, ...]]


def require_possible(lesson: Lesson) -> None:
    """Raise `CircuitError` for settings of lateral inhibition out of their range."""
    by = lesson.orthogonality_by
    for what, name, known in (
        ("orthogonality by", by, ORTHOGONALITY_BY),
        ("lateral during", lesson.lateral_during, teaching.PHASES),
    ):
        require_choice(what, name, known)
    if not 0 < lesson.lateral_rate <= 1:
        raise CircuitError(
            f"lateral rate {lesson.lateral_rate:g} is outside (0, 1]; use for example 0.3"
        )
    samples = lesson.spontaneous_samples
    if not (is_whole(samples) and samples >= 1):
        raise CircuitError(f"{shown(samples)} spontaneous samples: give a whole number, 1 or more")
    if by in acting.PLACES and lesson.orthogonality:
        raise CircuitError(
            f"{by} has no lambda, and {lesson.orthogonality:g} was given; use orthogonality 0, and "
            "the lateral rate for its strength"
        )
    if by != REGULARISER and lesson.orthogonality_of != "rows":
        raise CircuitError(
            f"{by} pulls rows apart, not {lesson.orthogonality_of}; leave out orthogonality of"
        )


def companions_of(network: Network, lesson: Lesson, keys: Array | None) -> Companions:
    """What lateral inhibition needs beside the network.

    Parameters
    ----------
    keys : int64 array (...), one for each network of a stack; 0 by default

    Raises `CircuitError` where the layers do not allow it.
    """
    by, weights = lesson.orthogonality_by, network.weights
    if by in acting.PLACES:
        return acting.first_synapses(by, weights)
    if by not in teaching.MECHANISMS:
        return {}
    if keys is None:
        xp, device = namespace(weights[0]), array_api_compat.device(weights[0])
        keys = xp.zeros(weights[0].shape[:-2], dtype=xp.int64, device=device)
    return teaching.first_circuits(by, weights, keys)


def needed_by(lesson: Lesson) -> tuple[str, ...]:
    """Names of the companions without which a step of the lesson cannot be made."""
    by = lesson.orthogonality_by
    if by in acting.PLACES:
        return acting.SYNAPSES, acting.LATERAL
    if by in teaching.MECHANISMS and lesson.orthogonality > 0:
        return *teaching.MECHANISMS[by].names, teaching.KEYS
    return ()


def synapses_of(network: Network, companions: Companions) -> tuple[Array, ...]:
    """What learns by the rule: the weights, or where inhibition acts, those without it."""
    return companions.get(acting.SYNAPSES, network.weights)


def taught(
    network: Network,
    lesson: Lesson,
    activity: Activity,
    companions: Companions,
    step: int,
    strength: float,
) -> tuple[list[Array], Companions]:
    """The direction in which inhibition pulls the weights of every layer, and the companions a step
    later.

    Parameters
    ----------
    activity : the forward pass, for inhibition that teaches during the task
    step : of the learner, which decides what the spontaneous activity is
    strength : lambda

    Raises
    ------
    CircuitError
        Where a lateral circuit has no stable rest.
    """
    weights = network.weights
    if lesson.lateral_during == teaching.TASK:
        rates = _read(activity, weights)
    else:
        (keys,), samples = companions[teaching.KEYS], lesson.spontaneous_samples
        rates = [
            teaching.spontaneous(keys, step, layer, samples, one)
            for layer, one in enumerate(weights, 1)
        ]
    return teaching.teach_all(
        lesson.orthogonality_by, companions, weights, rates, lesson.lateral_rate, strength
    )


def through(lesson: Lesson, companions: Companions, direction: Array, index: int) -> Array:
    """The direction that the synapses W_(index + 1) learn in where inhibition acts."""
    lateral = companions[acting.LATERAL][index]
    return acting.through(lesson.orthogonality_by, direction, lateral)


def acted(
    lesson: Lesson, activity: Activity, companions: Companions, synapses: tuple[Array, ...]
) -> tuple[tuple[Array, ...], Companions]:
    """Effective weights after a step in which the synapses and then inhibition have learnt, and the
    companions.

    Raises
    ------
    CircuitError, NotFinite
        With the layer, where inhibition has no stable rest or weights are not finite.
    """
    place, lateral, weights = lesson.orthogonality_by, [], []
    inputs = _read(activity, synapses)
    for i, one in enumerate(synapses):
        old = companions[acting.LATERAL][i]
        new = acting.learn(place, old, activity.drives[i], inputs[i], lesson.lateral_rate)
        try:
            weights.append(acting.effective(place, one, new))
        except CircuitError as error:
            raise CircuitError(f"layer {i + 1}: {error}") from None
        lateral.append(new)
    if not all_finite(weights):
        for layer, one in enumerate(weights, 1):
            remedy = "use a lower learning rate or lateral rate"
            require_finite(one, f"the inhibited W of layer {layer}", remedy)
    own = {acting.SYNAPSES: synapses, acting.LATERAL: tuple(lateral)}
    return tuple(weights), {**companions, **own}


def _read(activity: Activity, weights: Sequence[Array]) -> list[Array]:
    """The rates that every layer reads."""
    return [
        below[..., : one.shape[-1]] for below, one in zip(activity.rates[:-1], weights, strict=True)
    ]

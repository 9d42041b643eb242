"""What synapses learn from where feedback is not the exact inverse, or rates are read with noise.

Owns the choice between the learned inverse and the exact one, between rules and circuit, and the
companions of a learner in which an inverse model lives. Does not own the model, its circuit, nor a
step of learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from circuit.dynamics import build_circuit
from circuit.errors import CircuitError
from circuit.learned_inverse.equilibrium import settle_learned
from circuit.learned_inverse.model import (
    BIASES,
    KEYS,
    WEIGHTS,
    InverseModel,
    Practice,
    practised,
    propagate_learned,
    pseudo_inverse_model,
    random_model,
)
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, all_finite, require_finite
from circuit.rules import GAINS, propagate_targets
from circuit.shifts import Shifts

if TYPE_CHECKING:
    from circuit.learning.lesson import Lesson

Companions = Mapping[str, tuple[Array, ...]]
EXACT, LEARNED, PSEUDO = "exact", "learned", "pseudo-inverse"


def practice_of(lesson: Lesson) -> Practice:
    """How the inverse model learns, of plain values. Raises `CircuitError` for one out of range."""
    return Practice(
        lesson.inverse_rate,
        lesson.inverse_noise,
        lesson.inverse_aim,
        lesson.inverse_steps,
        lesson.inverse_before,
        lesson.inverse_order,
        lesson.inverse_block,
    )


def companions_of(network: Network, lesson: Lesson, keys: Array | None) -> Companions:
    """What learns beside the network, and the keys of all that is random in its steps.

    Parameters
    ----------
    keys : int64 array (...), one for each network of a stack

    Raises
    ------
    CircuitError
        Where keys are needed and there are none.
    """
    if lesson.inverse != LEARNED and lesson.rate_noise == 0:
        return {}
    if keys is None:
        raise CircuitError(
            "a learned inverse and rate noise are random; give a key for every network"
        )
    if lesson.inverse != LEARNED:
        return {KEYS: (keys,)}
    return {KEYS: (keys,), **_companions(random_model(network, keys))}


def needed_by(lesson: Lesson, depth: int) -> tuple[str, ...]:
    """Names of the companions without which a step of the lesson cannot be made."""
    learned = lesson.inverse == LEARNED
    keys = (KEYS,) if learned or lesson.rate_noise > 0 else ()
    return (*keys, WEIGHTS, BIASES) if learned and depth > 1 else keys


def model_of(companions: Companions) -> InverseModel:
    """The inverse model among the companions; one of no layers in a network of one layer."""
    return InverseModel(companions.get(WEIGHTS, ()), companions.get(BIASES, ()))


def _model(network: Network, lesson: Lesson, companions: Companions) -> InverseModel:
    """What a lesson other than of the exact inverse sends down through."""
    return model_of(companions) if lesson.inverse == LEARNED else pseudo_inverse_model(network)


def after_practice(
    network: Network, lesson: Lesson, activity: Activity, companions: Companions, step: int
) -> Companions:
    """The companions after the inverse has learnt from a forward pass.

    Raises `NotFinite` with the layer where it has come to infinity.
    """
    practice = practice_of(lesson)
    again = practice.steps_in(step)
    if again == 0:
        return companions
    model = practised(
        model_of(companions), network, activity, practice, companions[KEYS][0], step, again
    )
    if not all_finite((*model.weights, *model.biases)):
        for layer, array in enumerate(model.weights, 2):
            remedy = "use a lower inverse rate or learning rate"
            require_finite(array, f"the learned inverse of layer {layer}", remedy)
    return {**companions, **_companions(model)}


def _companions(model: InverseModel) -> Companions:
    return {WEIGHTS: model.weights, BIASES: model.biases}


def rule_shifts(
    network: Network,
    lesson: Lesson,
    companions: Companions,
    activity: Activity,
    error: Array,
    noise: Sequence[Array],
) -> Shifts:
    """Shifts of tp, itp, gait or grait."""
    strengths = lesson.strengths(network.depth)
    if lesson.inverse != EXACT:
        return propagate_learned(
            lesson.rule,
            network,
            _model(network, lesson, companions),
            activity,
            error,
            strengths,
            corrected=lesson.correction,
            noise=noise,
        )
    return propagate_targets(GAINS[lesson.rule], network, activity, error, strengths, added=noise)


def circuit_shifts(
    network: Network, lesson: Lesson, companions: Companions, activity: Activity, error: Array
) -> tuple[Activity, Shifts, Array]:
    """What shifts count from, the read-out of the circuit through the learned inverse or the
    pseudo-inverse, and which samples settled, `(..., batch)`.
    """
    circuit = build_circuit(network, lesson.pathway, lesson.strengths(network.depth))
    model = _model(network, lesson, companions)
    found = settle_learned(circuit, model, activity, error, corrected=lesson.correction)
    return found.base, found.read_out(lesson.readout), found.settled

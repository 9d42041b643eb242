"""What the synapses learn from in a step: shifts of a rule or of the settled circuit, as read.

Owns the choice between them. Does not own any of them, nor the step (`circuit.learning.step`).
"""

from __future__ import annotations

from collections.abc import Sequence

import array_api_compat

from circuit.dynamics import Trial, build_circuit
from circuit.equilibrium import default_method, settle
from circuit.errors import CircuitError
from circuit.lateral_inhibition.pull import Companions
from circuit.learned_inverse.model import KEYS, propagate_learned, reading_noise
from circuit.learning.lesson import CIRCUIT, Lesson
from circuit.losses import output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, widened
from circuit.rules import GAINS, back_propagation, propagate_targets
from circuit.shifts import ONE, Shifts
from circuit.verification.judgement import Status

MOST_SWEEPS = 30  # through another feedback than the exact inverse; what needs more is left out


def teach(
    network: Network,
    lesson: Lesson,
    activity: Activity,
    targets: Array,
    companions: Companions | None = None,
    step: int = 0,
) -> tuple[Activity, Shifts, Array | None]:
    """What the synapses learn from.

    Parameters
    ----------
    activity : the forward pass
    companions : of the learner
    step : of the learner, which decides what the noise is

    Returns
    -------
    The rates and slopes that shifts count from (the forward pass, or the free phase of a circuit
    that has another); the shifts; and which samples settled, `(..., batch)`, None unless the rule
    is the circuit.
    """
    error = output_error(network, activity, targets, lesson.loss)
    if lesson.rule == "bp":
        return activity, back_propagation(network, activity, error), None
    beside = {} if companions is None else companions
    require_companions(beside, lesson.needed(network.depth))
    noise: tuple[Array, ...] = ()
    if lesson.rate_noise > 0:
        noise = reading_noise(network, lesson.rate_noise, beside[KEYS][0], step, error)
    if lesson.rule != CIRCUIT:
        return activity, _rule_shifts(network, lesson, beside, activity, error, noise), None
    activity, shifts, mask = _circuit_shifts(network, lesson, beside, activity, error)
    return activity, read_with(noise, _of_projecting(network, shifts)), mask


def _rule_shifts(
    network: Network,
    lesson: Lesson,
    companions: Companions,
    activity: Activity,
    error: Array,
    noise: Sequence[Array],
) -> Shifts:
    """Shifts of tp, itp, gait or grait."""
    rule, strengths, back = lesson.rule, lesson.strengths(network.depth), lesson.inverse
    if back is None:
        return propagate_targets(GAINS[rule], network, activity, error, strengths, added=noise)
    model, corrected = back.model(network, companions), back.corrected
    return propagate_learned(
        rule, network, model, activity, error, strengths, corrected=corrected, noise=noise
    )


def _circuit_shifts(
    network: Network, lesson: Lesson, companions: Companions, activity: Activity, error: Array
) -> tuple[Activity, Shifts, Array]:
    """What shifts count from, the read-out of the circuit, and which samples settled."""
    back, strengths = lesson.inverse, lesson.strengths(network.depth)
    if back is None:
        circuit, steps = build_circuit(network, lesson.pathway, strengths), None
    else:
        model, steps = back.model(network, companions), MOST_SWEEPS
        circuit = build_circuit(
            network, lesson.pathway, strengths, feedback=model, corrected=back.corrected
        )
    trial = Trial(circuit, activity, widened(error, network.widths[-1]))
    # a sample that is not found at once waits for the next epoch: no second method is tried
    method = default_method(circuit)
    record = settle(trial, method, max_steps=steps, must_converge=False)
    xp, device = namespace(error), array_api_compat.device(error)
    settled = [status is Status.CONVERGED for status in record.sample_status]
    mask = xp.reshape(xp.asarray(settled, device=device), error.shape[:-1])
    return record.trial.activity, record.read_out(lesson.readout), mask


def read_with(noise: Sequence[Array], shifts: Shifts) -> Shifts:
    """Shifts that are read with noise, but were not made with it."""
    if not noise:
        return shifts
    return shifts.with_values(
        tuple(
            value + widened(wrong * ONE.over(scale).value, value.shape[-1])
            for value, wrong, scale in zip(shifts.values, noise, shifts.scales, strict=True)
        )
    )


def _of_projecting(network: Network, shifts: Shifts) -> Shifts:
    """The read-out with that of auxiliary units set to zero: they follow what drives them, and
    there is no target in them to learn from.
    """
    return shifts.with_values(
        tuple(
            widened(value[..., : network.n_projecting(layer)], value.shape[-1])
            for layer, value in enumerate(shifts.values, 1)
        )
    )


def require_companions(companions: Companions, names: Sequence[str]) -> None:
    """Raise `CircuitError` for the first of the names that is missing."""
    missing = [name for name in names if name not in companions]
    if missing:
        raise CircuitError(
            f"this learner has no {missing[0].replace('_', ' ')}, which the lesson needs; begin "
            "with begin_learning(network, lesson)"
        )

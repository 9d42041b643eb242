"""What the synapses learn from in a step: the signal of the lesson's rule, as it is read.

Owns how the table of rules is asked, and what becomes of samples whose equations were not solved.
Does not own any rule, nor the step (`circuit.learning.step`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import array_api_compat
import numpy as np

from circuit.checks.words import shortened
from circuit.errors import CircuitError
from circuit.lateral_inhibition.pull import Companions
from circuit.learned_inverse.model import noise_of, read_with
from circuit.learning.lesson import Lesson
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, all_finite, namespace
from circuit.numerics.taken import taken
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.of_lesson import OfLesson


class OfLearner(dict[str, tuple[Array, ...]]):
    """What a learner has beside its network; what a rule asks for and it lacks is refused."""

    def __missing__(self, name: str) -> tuple[Array, ...]:
        raise CircuitError(
            f"this learner has no {name.replace('_', ' ')}, which the lesson needs; begin "
            "with begin_learning(network, lesson)"
        )


def teach(
    network: Network,
    lesson: Lesson,
    activity: Activity,
    targets: Array,
    companions: Companions | None = None,
    step: int = 0,
) -> Signal:
    """What the synapses learn from.

    Parameters
    ----------
    activity : the forward pass
    companions : of the learner
    step : of the learner, which decides what the noise is

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import forward, initialise
    >>> from circuit.learning import Lesson, teach
    >>> network = initialise([2, 2], 0)
    >>> teach(network, Lesson("bp"), forward(network, np.eye(2)), np.eye(2)).reading
    'target'
    """
    beside = OfLearner({} if companions is None else companions)
    require_companions(beside, lesson.needed(network.depth))
    given, targets = lesson.given, taken("targets", targets, activity.rates[-1])
    with _named(lesson.rule):
        asked = network, activity, targets, lesson.loss
        signal = lesson.of_table.signal(*asked, given, beside, step)
    if not isinstance(signal, Signal):  # mypy does not read a user's file
        name, kind = lesson.rule, type(signal).__name__
        raise CircuitError(
            f"rule {name} returned {kind}, not a Signal; end it in Signal(activity, shifts)"
        )
    if lesson.rate_noise > 0 and not isinstance(given, OfLesson):  # which has read with it itself
        noise = noise_of(network, lesson.rate_noise, beside, step, targets)
        signal = replace(signal, shifts=read_with(noise, signal.shifts))
    return signal


@contextmanager
def _named(rule: str) -> Iterator[None]:
    """What goes wrong in a rule of one's own is refused in one line with its name and file."""
    try:
        yield
    except Exception as error:
        source = TABLE[rule].source
        if isinstance(error, CircuitError) or not source:
            raise
        what = shortened(f"{type(error).__name__}: {error}", 300).replace("\n", " ")
        raise CircuitError(f"rule {rule} of {source} failed ({what}); mend it") from error


def settled_of(signal: Signal, like: Array) -> Array | None:
    """Which samples settled, `(..., batch)`; None for a rule in closed form.

    `like` is any array (..., batch, units).
    """
    return None if signal.rest is None else _mask(signal.rest.converged, like)


def teaching_of(signal: Signal, like: Array) -> Array | None:
    """Which samples teach: those that settled, and by a rule of so many steps the others too.

    Parameters and returns as `settled_of`.
    """
    return None if signal.rest is None else _mask(signal.rest.teaches, like)


def _mask(each: np.ndarray, like: Array) -> Array:
    device = array_api_compat.device(like)
    return namespace(like).reshape(namespace(like).asarray(each, device=device), like.shape[:-1])


def of_settled(signal: Signal, like: Array) -> tuple[Signal, Array | None]:
    """The signal with the shifts of samples that teach nothing, since they did not settle, set to
    zero, so that the mean over the batch becomes the mean over the others; and the fraction that
    settled, `(...)`, None for a rule in closed form.

    `like` is any array (..., batch, units).
    """
    settled, mask, xp = settled_of(signal, like), teaching_of(signal, like), namespace(like)
    if settled is None or mask is None:
        return signal, None
    fraction = xp.mean(xp.astype(settled, like.dtype), axis=-1)
    if bool(xp.all(mask)):
        return signal, fraction
    taught = xp.mean(xp.astype(mask, like.dtype), axis=-1)
    weight = xp.where(taught > 0, 1 / xp.where(taught > 0, taught, 1 + taught), taught)
    weight, mask = weight[..., None, None], mask[..., None]
    shifts = signal.shifts
    values = tuple(xp.where(mask, value * weight, xp.zeros_like(value)) for value in shifts.values)

    def known(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        """Zero times what is not finite is not zero."""
        if all_finite(arrays):
            return arrays
        return tuple(xp.where(mask, array, xp.zeros_like(array)) for array in arrays)

    activity = signal.activity
    return replace(
        signal,
        shifts=shifts.with_values(values),
        activity=Activity(known(activity.rates), known(activity.drives), known(activity.slopes)),
        read=None if signal.read is None else known(signal.read),
    ), fraction


def require_companions(companions: Companions, names: Sequence[str]) -> None:
    """Raise `CircuitError` for the first of the names that is missing."""
    found = OfLearner(companions)
    for name in names:
        found[name]

"""What moves the output away from its free state: a force, a spring, or a clamp.

Owns the equation of the output's own change, and its solution, unit by unit where the loss is
quadratic. Does not own the rest of the network.

With e the error -dL/ds of the free state, s_L its rates, u what the network drives the output by,
and sigma the sign of the nudge, the change d of the outputs is

    force    d = f(h + u + sigma beta e) - f(h)
    spring   d = f(h + u + sigma beta e(s_L + d)) - f(h)
    clamp    d = sigma beta e

with e(s_L + d) = e - d where the loss is quadratic. All in units of the scale of the output, `beta`
times a power of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from circuit.activations import Activation
from circuit.losses import LOSSES, Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, any_true, epsilon, namespace, row_norms, take_rows
from circuit.numerics.scale import Scale, times
from circuit.peers.steepness import is_quadratic
from circuit.records.brief import Brief
from circuit.settings.peers.contrast import CLAMP, FORCE
from circuit.shifts import excess

STEPS = 60  # to solve a spring's equation: bisection alone takes as many for 16 digits
FEW_STEPS = 6  # of any loss, in each pass
Response = Callable[[Array], Array]


@dataclass(frozen=True, eq=False, repr=False)
class Nudge(Brief):
    """How the outputs that carry an error are moved.

    Attributes
    ----------
    kind : "force", "spring" or "clamp"
    unit, drives : of the outputs, h (..., batch, n_outputs) of the free state
    start : sigma beta e in units of `scale`
    sign, beta, scale : sigma, beta, and the scale of the output's change
    loss : None where it is quadratic
    rates, targets : (..., batch, n_outputs), s_L of the free state, and t
    """

    kind: str
    unit: Activation
    drives: Array
    start: Array
    sign: float
    beta: float
    scale: Scale
    loss: Loss | None
    rates: Array
    targets: Array

    def samples(self, rows: Sequence[int]) -> Nudge:
        """That of some samples of the batch."""
        names = ("drives", "start", "rates", "targets")
        return replace(self, **{name: take_rows(getattr(self, name), rows) for name in names})

    def asked(self, response: Response, drive: Array, value: Array) -> Array:
        """What the equation asks `value` to be, where the network drives the output by `drive`."""
        if self.kind == CLAMP:
            return self.start
        return response(drive + self.push(value))

    def slope(self, slope: Array) -> Array:
        """F' of all outputs with what a spring takes of it, or a clamp."""
        n = self.start.shape[-1]
        own = slope[..., :n]
        if self.kind == CLAMP:
            own = 0 * own
        elif self.kind != FORCE and self.loss is None:
            own = own / (1 + self.sign * self.beta * own)
        return (
            own if n == slope.shape[-1] else namespace(slope).concat([own, slope[..., n:]], axis=-1)
        )

    def push(self, value: Array) -> Array:
        """What the nudge adds to the drive of outputs that have changed by `value`."""
        if self.kind == FORCE:
            return self.start
        if self.loss is None:
            return self.start - self.sign * self.beta * value
        error = self.loss(self.rates + self.scale.value * value, self.targets)
        return times(self.sign * error, Scale.of(self.beta).over(self.scale))

    def respond(self, response: Response, drive: Array, last: Array | None = None) -> Array:
        """The change of the outputs, where the network drives them by `drive`; near `last`."""
        if self.kind == CLAMP:
            return self.start
        if self.kind == FORCE:
            return response(drive + self.start)
        if self.loss is None:
            return self._unit_by_unit(response, drive)
        return self._all_at_once(response, drive, last)

    def _slope(self, drive: Array) -> Array:
        return self.unit.slope(self.drives + self.scale.value * drive)

    def _unit_by_unit(self, response: Response, drive: Array) -> Array:
        """Newton's method between bounds. What is asked less the value falls with the value, since
        a spring that pushes away has beta < 1; the root lies between 0 and `far`.
        """
        xp, gain = namespace(drive), self.sign * self.beta
        far = response(drive + self.start)
        if self.sign < 0:
            far = far / (1 - self.beta)
        low, high = xp.minimum(far, 0 * far), xp.maximum(far, 0 * far)
        value = far / (1 + gain * self._slope(drive)) if self.sign > 0 else far
        for _ in range(STEPS):
            total = drive + self.push(value)
            miss = response(total) - value
            if not any_true(xp.abs(miss) > 2 * epsilon(value) * xp.abs(value)):
                break
            low, high = xp.where(miss > 0, value, low), xp.where(miss < 0, value, high)
            step = value + miss / (1 + gain * self._slope(total))
            value = xp.where((step >= low) & (step <= high), step, (low + high) / 2)
        return value

    def _all_at_once(self, response: Response, drive: Array, last: Array | None) -> Array:
        """A few damped steps, each sample's the shorter the steeper its loss is found to be. What
        they leave, the next sweep begins with.
        """
        xp = namespace(drive)
        value = response(drive + self.start) if last is None else last
        steep = xp.ones_like(value[..., :1]) if self.sign > 0 else xp.zeros_like(value[..., :1])
        before = None
        for _ in range(FEW_STEPS):
            total = drive + self.push(value)
            miss = response(total) - value
            size = row_norms(miss)[..., None]
            if not any_true(size > 2 * epsilon(value) * row_norms(value)[..., None]):
                break
            if before is not None:
                steep = xp.where(size > before, 2 * steep, steep)
            value, before = value + miss / (1 + self.beta * steep * self._slope(total)), size
        return value


def nudge(
    network: Network,
    free: Activity,
    targets: Array,
    loss: str | Loss,
    kind: str,
    beta: float,
    sign: float = 1.0,
) -> Nudge:
    """The nudge `kind` of the free state of a network, towards the targets (sign 1) or away (-1).

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite
        As `circuit.losses.output_error`.
    """
    error, n = output_error(network, free, targets, loss), network.n_outputs
    power = excess(error)
    return Nudge(
        kind=kind,
        unit=network.activations[-1],
        drives=free.drives[-1][..., :n],
        start=times(sign * error, Scale(0.5, 1 - power)),
        sign=sign,
        beta=beta,
        scale=Scale.of(beta).shifted(power),
        loss=None if is_quadratic(loss) else loss if callable(loss) else LOSSES[loss],
        rates=free.rates[-1][..., :n],
        targets=targets,
    )

"""Dual propagation: two states of every unit, whose difference is the signal (Hoier et al. 2023).

    z_l^+- = f( h_l +- 1/2 W_{l+1}^T D_{l+1} ),    D = z^+ - z^-,    h_l = W_l zbar_{l-1} + b_l

with zbar = (z^+ + z^-) / 2 and zbar_0 = x. At the output the loss nudges the drive,

    z_L^+- = f( h_L +- beta/2 e(z_L^+-) ),    e = -dC/dy

which for squared errors and linear outputs is (h_L +- beta t / 2) / (1 +- beta / 2). A synapse
reads the response, D_l times zbar_{l-1}: f' is in D already. In a linear network with squared
errors

    D_l = beta / (1 - beta^2 / 4) F_l^T e,    F_l = W_L ... W_{l+1},

exactly, 0 < beta < 2; with smooth units it is back-propagation up to beta^2.

D_l = f(h + q/2) - f(h - q/2) is a difference that does not cancel, with q_l = W_{l+1}^T D_{l+1} in
running scales. The two states depend on zbar below and D above: sweeps down (D) and up (zbar) are
repeated until the equations of all layers hold. Where no unit crosses a kink or has curvature, zbar
stays the forward pass and one sweep down is exact.

Passes, of L - 1 products each: 1 for a sweep down, and 1 for a sweep up, which is left out as long
as no rate has moved.

Hoier, Staudt and Zach 2023, "Dual propagation: accelerating contrastive Hebbian learning with
dyadic neurons", ICML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.losses import Loss, output_error
from circuit.messages import response
from circuit.network import Activity, Network
from circuit.numerics.arrays import (
    Array,
    any_true,
    epsilon,
    namespace,
    require_samples,
    row_norms,
    take_rows,
    widened,
)
from circuit.numerics.scale import ONE, Scale, times
from circuit.peers.auxiliaries import push_up, with_auxiliaries
from circuit.peers.rule import Companions, Rule
from circuit.peers.settling import Tried, relative, rounding_floors, settle, tolerance_for
from circuit.peers.signal import RESPONSE, Signal
from circuit.peers.steepness import error_after, is_quadratic
from circuit.records.brief import Brief
from circuit.settings.peers.dual_propagation import DualPropagationSettings
from circuit.shifts import Shifts, excess

BUDGET = 100  # sweeps down
OUTPUT_STEPS = 200  # elementwise, towards the state of the outputs

Kick = tuple[Array, Array]  # twice what drives z^+ up and z^- down, in the size of its layer


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Brief):
    """One way down.

    Attributes
    ----------
    dyads : D_1 .. D_L in units of beta and of `scales`
    kicks : of the layers 1 .. L, in units of beta and of the scale of the layer above (the
        output's: of beta)
    """

    scales: tuple[Scale, ...]
    dyads: tuple[Array, ...]
    kicks: tuple[Kick, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Dyads(Brief):
    """The equations of one batch, as `settling.settle` asks for them.

    A point holds D_1 .. D_L, and the changes from the forward pass of the rates, zbar_l - y_l, and
    of the drives, h_l - h_l^f.

    Attributes
    ----------
    activity : the forward pass
    error, targets : (..., batch, n_outputs), e of the forward pass and what it is made from
    strength : beta
    first : the first way down, which also sets the scales
    """

    network: Network
    activity: Activity
    error: Array
    targets: Array
    loss: str | Loss
    strength: float
    first: Sweep | None = None

    def samples(self, rows: Sequence[int]) -> Dyads:
        """Those of some images."""
        return replace(
            self,
            activity=self.activity.samples(rows),
            error=take_rows(self.error, rows),
            targets=take_rows(self.targets, rows),
        )

    def begun(self) -> Dyads:
        """With the first way down."""
        return replace(self, first=self._down([0 * drive for drive in self.activity.drives]))

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Of the layers, in units of beta; none before the first way down."""
        return () if self.first is None else self.first.scales

    def start(self) -> Tried:
        """After one sweep from the forward pass."""
        assert self.first is not None  # it has begun
        return self._up(self.first)

    def improved(self, point: Tried) -> Tried:
        """After one more, from the drives as they are."""
        return self._up(self._down(point.arrays[2 * self.network.depth :]))

    def _down(self, moved: Sequence[Array]) -> Sweep:
        """From the outputs, with drives that have moved by so much."""
        network, depth = self.network, self.network.depth
        kicks = [self._nudge(moved[-1])]
        dyads: list[Array] = []
        scales: list[Scale] = []
        for layer in range(depth, 0, -1):
            n = network.n_projecting(layer)
            above = scales[-1] if scales else ONE
            dyad = self._dyad(layer, moved[layer - 1], *kicks[-1], self._size(above))
            shift = self.scales[layer - 1].over(above).exponent - 1 if self.scales else excess(dyad)
            dyads.append(times(dyad, Scale(0.5, 1 - shift)))
            scales.append(above.shifted(shift))
            if layer > 1:
                sent = network.pull_transposed(layer, dyads[-1][..., :n])
                kicks.append((sent, sent))
        return Sweep(tuple(scales[::-1]), tuple(dyads[::-1]), tuple(kicks[::-1]))

    def _up(self, sweep: Sweep) -> Tried:
        """To what all rates are with what has come down, and what is left of the equations then."""
        depth, passes = self.network.depth, 1.0
        moved: list[Array] = []
        means: list[Array] = []
        left: list[Array] = []
        for layer in range(1, depth + 1):
            push = 0 * self.activity.drive(layer)
            if means and any_true(means[-1] != 0):
                push = push_up(self.network, layer, means[-1])
                passes += 1 / (depth - 1)
            above = sweep.scales[layer] if layer < depth else ONE
            here = (layer, push, *sweep.kicks[layer - 1], self._size(above))
            again = times(self._dyad(*here), above.over(sweep.scales[layer - 1]))
            left.append(row_norms(again - sweep.dyads[layer - 1]))
            moved.append(push)
            means.append(self._mean(*here))
        norms = list(map(row_norms, sweep.dyads))
        # all that has moved the outputs' drive moves what nudges them
        unfit = self._left_of_nudge(moved[-1], sweep.kicks[-1])
        sizes = row_norms(sweep.kicks[-1][0])
        unfit = unfit / namespace(sizes).where(sizes > 0, sizes, namespace(sizes).ones_like(sizes))
        left[-1] = left[-1] + unfit * norms[-1]
        return Tried((*sweep.dyads, *means, *moved), relative(left, norms, norms[-1]), passes)

    # --- one layer ---

    def _size(self, scale: Scale) -> float:
        """Of a kick, in units of the rates."""
        return scale.times(self.strength).value

    def _dyad(self, layer: int, moved: Array, up: Array, down: Array, size: float) -> Array:
        """z^+ - z^-, in units of `size`."""
        unit = self.network.activation(layer)
        low = self.activity.drive(layer) + moved - size * down / 2
        return response(unit, low, unit.slope(low), (up + down) / 2, size)

    def _mean(self, layer: int, moved: Array, up: Array, down: Array, size: float) -> Array:
        """Change of zbar, in units of the rates; exactly 0 where no unit's slope changes."""
        unit, rest = self.network.activation(layer), self.activity.drive(layer)
        carried = response(unit, rest, self.activity.slope(layer), moved, 1.0)
        h = rest + moved
        slope = unit.slope(h)
        both = response(unit, h, slope, up / 2, size) + response(unit, h, slope, -down / 2, size)
        return carried + size / 2 * both

    # --- the outputs ---

    def _nudge(self, moved: Array) -> Kick:
        """e(z_L^+) and e(z_L^-), (..., batch, N_L), at the drive h_L^f + `moved`."""
        width = self.network.widths[-1]
        up, down = (self._nudged(moved, sign * self.strength / 2) for sign in (1, -1))
        return widened(up, width), widened(down, width)

    def _nudged(self, moved: Array, nudge: float) -> Array:
        """The error q = e(f(h + nudge q)), (..., batch, n_outputs), as far as it is found.

        By Newton's method for squared errors, whose equations are one for each unit; otherwise q is
        put in again and again.
        """
        n = self.network.n_outputs
        unit = self.network.activation(self.network.depth)
        steepness = nudge if is_quadratic(self.loss) else 0.0
        found = self.error
        for _ in range(OUTPUT_STEPS):
            left = self._error_at(moved, nudge * found) - found
            if not any_true(row_norms(left) > 4 * epsilon(moved) * row_norms(found)):
                break
            drive = (self.activity.drives[-1] + moved)[..., :n] + nudge * found
            found = found + left / (1 + steepness * unit.slope(drive))
        return found

    def _error_at(self, moved: Array, push: Array) -> Array:
        """e(f(h_L^f + moved + push)), (..., batch, n_outputs)."""
        n, activity = self.network.n_outputs, self.activity
        unit, outputs = self.network.activation(self.network.depth), activity.rates[-1][..., :n]
        rest, slope = activity.drives[-1][..., :n], activity.slopes[-1][..., :n]
        change = response(unit, rest, slope, moved[..., :n] + push, 1.0)
        return error_after(self.loss, self.error, outputs, self.targets, change)

    def _left_of_nudge(self, moved: Array, kick: Kick) -> Array:
        """|q - e| of the two states of the outputs, (..., batch), the worse of them."""
        worst: Array = None
        for one, sign in zip(kick, (1, -1), strict=True):
            q = one[..., : self.network.n_outputs]
            left = row_norms(self._error_at(moved, sign * self.strength / 2 * q) - q)
            worst = left if worst is None else namespace(left).maximum(worst, left)
        return worst


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: DualPropagationSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """See `circuit.peers.rule.Rule`."""
    error = output_error(network, activity, targets, loss)
    require_samples(error)
    with np.errstate(all="ignore"):  # what overflows on the way is judged, not printed
        problem = Dyads(network, activity, error, targets, loss, settings.beta).begun()
    arrays, rest = settle(
        problem,
        tolerance=tolerance_for(settings.tolerance, error),
        floors=rounding_floors(error, network.widths),
        budget=BUDGET,
        splittable=error.ndim == 2,
    )
    depth, size = network.depth, Scale.of(settings.beta)
    scales = tuple(map(size.times, problem.scales))
    shifts = Shifts(arrays[:depth], scales, (size,) * depth)
    means = (rate + mean for rate, mean in zip(activity.rates[1:], arrays[depth:], strict=False))
    read = (activity.rates[0], *means)
    with np.errstate(all="ignore"):  # of images that have not settled
        read = (*read[:-1], *with_auxiliaries(network, read[-2], read[-1]))
    return Signal(activity, shifts, RESPONSE, read, rest)


RULE = Rule(
    name="dual",
    words="dual propagation: the difference of two states of every unit",
    reference="Hoier et al. 2023",
    settings=DualPropagationSettings,
    signal=signal,
    settles=True,
)

"""The energy of predictive coding in shift coordinates: its errors, its gradient, its curvature.

Owns the landscape that three rules share: states, what the equations ask for there, and products
with the Hessian. Does not own how one walks in it (`predictive_coding`, `error_based`).

    F = 1/2 sum_{l<L} |eps_l|^2 + lambda C(y_L),     eps_l = z_l - f(h_l),   h_l = W_l z_{l-1} + b_l

with z_0 = x and y_L = f(h_L). Where the z are the unknowns, F is stationary where

    eps_l = (A_{l+1} W_{l+1})^T eps_{l+1},   l < L,        eps_L = lambda e,   e = -dC/dy_L at y_L

with A_l = f'(h_l). Where the errors eps_l are the unknowns, and z follows from them upwards, it is
stationary at the same states: there its gradient is eps_l - lambda F_l^T e, F_l = dy_L/dz_l.

Everything is kept per lambda, in running scales s_l and t_l: eps_l = lambda s_l v_l, and the change
of z_l from the forward pass is lambda t_l d_l,

    t_l d_l = [f(h_l^f + lambda t_{l-1} k_l) - f(h_l^f)] / lambda + s_l v_l,     k_l = W_l d_{l-1}

by differences that do not cancel. v is of the size of back-propagation's shift at any lambda.

All arrays are (..., batch, units); lists have an entry for each of the layers 1 .. L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from circuit.losses import Loss
from circuit.messages import response
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, row_norms, take_rows, widened
from circuit.numerics.scale import ONE, Scale, running_largest, times
from circuit.peers.auxiliaries import push_up, with_auxiliaries
from circuit.peers.settling import relative
from circuit.peers.steepness import error_after, error_change
from circuit.records.brief import Brief
from circuit.shifts import Shifts, excess

Layers = list[Array]


@dataclass(frozen=True, eq=False, repr=False)
class MovedState(Brief):
    """Errors, and where they take the network.

    Attributes
    ----------
    errors : v_1 .. v_L; v_L is the output error at the moved outputs
    shifts : d_1 .. d_L
    drives, slopes : h_1 .. h_L and f' there, as moved
    """

    errors: Layers
    shifts: Layers
    drives: Layers
    slopes: Layers


@dataclass(frozen=True, eq=False, repr=False)
class Energy(Brief):
    """The energy of one batch.

    Attributes
    ----------
    activity : the forward pass
    error, targets : (..., batch, n_outputs), e of the forward pass and what it is made from
    strength : lambda
    scales : s_1 .. s_L
    """

    network: Network
    activity: Activity
    error: Array
    targets: Array
    loss: str | Loss
    strength: float
    scales: tuple[Scale, ...]

    @cached_property
    def reach(self) -> tuple[Scale, ...]:
        """t_1 .. t_L, the largest scale of an error so far."""
        return running_largest(self.scales)

    def samples(self, rows: Sequence[int]) -> Energy:
        """That of some images of one network."""
        return replace(
            self,
            activity=self.activity.samples(rows),
            error=take_rows(self.error, rows),
            targets=take_rows(self.targets, rows),
        )

    @property
    def smooth(self) -> bool:
        """Whether a unit has curvature."""
        return not all(unit.piecewise_linear for unit in self.network.activations)

    def shifts_of(self, errors: Layers) -> Shifts:
        """eps_1 .. eps_L; their gain is lambda."""
        size = Scale.of(self.strength)
        scales = tuple(size.times(scale) for scale in self.scales)
        return Shifts(tuple(errors), scales, (size,) * len(errors))

    @np.errstate(all="ignore")  # of images that have not settled
    def activity_of(self, state: MovedState) -> Activity:
        """The rates z_0 .. z_{L-1}, y_L with the drives and slopes of a state."""
        rates = [self.activity.rates[0]]
        for rate, shift, scale in zip(
            self.activity.rates[1:], state.shifts, self.reach, strict=True
        ):
            rates.append(rate + times(shift, scale.times(self.strength)))
        last = with_auxiliaries(
            self.network, rates[-2], rates[-1], state.drives[-1], state.slopes[-1]
        )
        ends = zip((rates, state.drives, state.slopes), last, strict=True)
        return Activity(*((*all_but[:-1], end) for all_but, end in ends))

    # --- states ---

    def state(self, errors: Sequence[Array], shifts: Sequence[Array] | None = None) -> MovedState:
        """That of the errors v_1 .. v_{L-1}, or of the shifts d_1 .. d_{L-1} in their place.

        L - 1 products.
        """
        found: Layers = list(errors)
        moved: Layers = []
        drives: Layers = []
        slopes: Layers = []
        for layer in range(1, self.network.depth + 1):
            i, unit = layer - 1, self.network.activation(layer)
            h, slope = self.activity.drive(layer), self.activity.slope(layer)
            carried = namespace(h).zeros_like(h)
            if layer > 1:
                below = self.reach[i - 1].times(self.strength).value
                push = push_up(self.network, layer, moved[-1])
                carried = response(unit, h, slope, push, below) * self._ratio(layer - 1, layer)
                h = h + below * push
                slope = unit.slope(h)
            drives.append(h)
            slopes.append(slope)
            own = self.scales[i].over(self.reach[i])
            if layer == self.network.depth:
                moved.append(carried)
            elif shifts is None:
                moved.append(carried + times(errors[i], own))
            else:
                moved.append(shifts[i])
                found.append(times(shifts[i] - carried, ONE.over(own)))
        found.append(self._output_error(moved[-1]))
        return MovedState(found, moved, drives, slopes)

    def _ratio(self, below: int, layer: int) -> float:
        """t_below / t_layer."""
        return self.reach[below - 1].over(self.reach[layer - 1]).value

    def _outputs(self) -> Array:
        """Of the forward pass."""
        return self.activity.rates[-1][..., : self.network.n_outputs]

    def _output_change(self, shift: Array) -> Array:
        """In units of the rates, of d_L."""
        size = self.reach[-1].times(self.strength)
        return times(shift[..., : self.network.n_outputs], size)

    def _output_error(self, shift: Array) -> Array:
        change = self._output_change(shift)
        error = error_after(self.loss, self.error, self._outputs(), self.targets, change)
        return times(widened(error, self.network.widths[-1]), ONE.over(self.scales[-1]))

    # --- what the equations ask for ---

    def sent(self, layer: int, message: Array) -> Array:
        """W_{layer+1}^T of a message at `layer` + 1, in the scale of `layer`."""
        n = self.network.n_projecting(layer + 1)
        ratio = self.scales[layer].over(self.scales[layer - 1])
        return times(self.network.pull_transposed(layer + 1, message[..., :n]), ratio)

    def missing(self, state: MovedState) -> Layers:
        """What is left of each layer's equation, v_l - (A_{l+1} W_{l+1})^T v_{l+1}; L - 1 products.

        Nothing at the output, whose error is that of its outputs.
        """
        left = [
            state.errors[i] - self.sent(i + 1, state.slopes[i + 1] * state.errors[i + 1])
            for i in range(self.network.depth - 1)
        ]
        return [*left, 0 * state.errors[-1]]

    @property
    def passes_of_gradient(self) -> float:
        """What `gradient` takes, in units of L - 1 products."""
        depth = self.network.depth
        return max(depth - 2, 0) / max(depth - 1, 1)

    def gradient(self, state: MovedState, missing: Layers) -> Layers:
        """v_l - F_l^T e, which is also what is left of the equations of all layers from l on.

        L - 2 products.
        """
        found = missing[:-3:-1]
        for i in range(self.network.depth - 3, -1, -1):
            found.append(missing[i] + self.sent(i + 1, state.slopes[i + 1] * found[-1]))
        return found[::-1]

    def asked(self, state: MovedState) -> Layers:
        """F_l^T e, what the output error of a state asks of the errors; L - 1 products."""
        found = [state.errors[-1]]
        for i in range(self.network.depth - 2, -1, -1):
            found.append(self.sent(i + 1, state.slopes[i + 1] * found[-1]))
        return found[::-1]

    def residuals(self, state: MovedState, missing: Layers) -> np.ndarray:
        """|what is left| over |error| in every layer, (L, samples)."""
        error = row_norms(state.errors[-1])
        left, errors = list(map(row_norms, missing)), list(map(row_norms, state.errors))
        return relative(left, errors, error)

    def curvature(self, state: MovedState, gradient: Layers, tangents: Layers) -> Layers:
        """The Hessian times tangents of v_1 .. v_{L-1}; 2 (L - 1) products.

        Symmetric in the inner product of `inner`, and the identity plus what comes back down from
        the outputs and from the curvature of the units.
        """
        depth = self.network.depth
        pushed: Layers = []
        moved: Layers = []
        for layer in range(1, depth + 1):
            i = layer - 1
            change: Array = None
            if layer > 1:
                pushed.append(push_up(self.network, layer, moved[-1]))
                change = state.slopes[i] * pushed[-1] * self._ratio(layer - 1, layer)
            if layer < depth:
                own = times(tangents[i], self.scales[i].over(self.reach[i]))
                change = own if change is None else change + own
            moved.append(change)
        n = self.network.n_outputs
        outputs = self._outputs() + self._output_change(state.shifts[-1])
        size = self.reach[-1].times(self.strength).over(self.scales[-1])
        back = error_change(self.loss, outputs, self.targets, moved[-1][..., :n])
        sent = times(widened(back, self.network.widths[-1]), size)
        found: Layers = []
        for layer in range(depth, 1, -1):
            i = layer - 1
            message = state.slopes[i] * sent
            unit = self.network.activation(layer)
            if not unit.piecewise_linear:
                below = self.reach[i - 1].times(self.strength).value
                asked = state.errors[i] - gradient[i]
                bent = unit.curvature(state.drives[i]) * (below * pushed[i - 1])
                message = message + bent * asked
            sent = self.sent(layer - 1, message)
            found.append(tangents[i - 1] - sent)
        return found[::-1]

    @cached_property
    def _weights(self) -> list[float]:
        """(s_l / the largest of them)^2."""
        largest = self.reach[-2 if self.network.depth > 1 else -1]
        return [scale.over(largest).value ** 2 for scale in self.scales[:-1]]

    def inner(self, left: Layers, right: Layers) -> Array:
        """Sum over the layers below the output of eps . eps', (..., batch), in units of the largest
        scale.
        """
        total = None
        for weight, one, other in zip(self._weights, left, right, strict=False):
            part = weight * namespace(one).linalg.vecdot(one, other)
            total = part if total is None else total + part
        return total

    def norm(self, layers: Layers) -> Array:
        """The root of `inner` of the layers below the output with themselves, of any size."""
        xp = namespace(layers[0])
        pairs = zip(self._weights, layers, strict=True)
        return row_norms(xp.stack([weight**0.5 * row_norms(one) for weight, one in pairs], axis=-1))


def energy_of(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    strength: float,
    error: Array,
) -> tuple[Energy, Layers]:
    """The energy, with the scales of back-propagation's shift, and that shift v_1 .. v_L.

    L - 1 products.
    """
    value = widened(error, network.widths[-1])
    scales, values = [], []
    scale = ONE
    for layer in range(network.depth, 0, -1):
        power = excess(value)
        value, scale = times(value, Scale(0.5, 1 - power)), scale.shifted(power)
        values.append(value)
        scales.append(scale)
        if layer > 1:
            n = network.n_projecting(layer)
            value = network.pull_transposed(layer, (activity.slope(layer) * value)[..., :n])
    energy = Energy(network, activity, error, targets, loss, strength, tuple(scales[::-1]))
    return energy, values[::-1]

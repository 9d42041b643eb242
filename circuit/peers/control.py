"""The steady state of a controller that drives all layers of a network, for one batch.

Owns the controller's equation in shift coordinates, its Newton steps, and whether its steady state
is stable. Does not own the rule that is made of it (`circuit.peers.feedback_control`, which says
what the letters stand for).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import array_api_compat
import numpy as np

from circuit.messages import response
from circuit.network import Activity, Network
from circuit.numerics.arrays import (
    Array,
    any_true,
    namespace,
    put_rows,
    row_norms,
    rows_times,
    take_rows,
    to_numpy,
    widened,
)
from circuit.numerics.scale import ONE, Scale, running_largest, times
from circuit.numerics.small_systems import solved
from circuit.peers.auxiliaries import push_up, with_auxiliaries
from circuit.peers.settling import Tried, relative
from circuit.records.brief import Brief
from circuit.settings.peers.feedback_control import JACOBIAN, FeedbackControlSettings
from circuit.shifts import Shifts, excess

HALVINGS = 5  # of one that does not come nearer
SLOW = 0.3  # a step that leaves more than this asks for new derivatives
MOST_OUTPUTS = 256  # up to so many the eigenvalues are looked at


@dataclass(frozen=True, eq=False, repr=False)
class Derivatives(Brief):
    """F_l = dy_L/dr_l of the outputs with an error, each image's own.

    Attributes
    ----------
    rows : of the layers 1 .. L-1, (..., batch, n_outputs, n) for the n units that are read
    scales : of the same
    """

    rows: tuple[Array, ...]
    scales: tuple[Scale, ...]


def derivatives(network: Network, slopes: Sequence[Array]) -> Derivatives:
    """Those at a state with these slopes f' of the layers 1 .. L. (L - 2) n_outputs products."""
    n = network.n_outputs
    rows: list[Array] = []
    scales: list[Scale] = []
    scale = ONE
    for layer in range(network.depth, 1, -1):
        if layer == network.depth:
            weights = network.weights[-1][..., None, :n, :]
            value = slopes[-1][..., :n, None] * weights
        else:
            above = slopes[layer - 1][..., None, : rows[-1].shape[-1]] * rows[-1]
            *front, count, outputs, units = above.shape
            xp = namespace(above)
            flat = xp.reshape(above, (*front, count * outputs, units))
            sent = network.pull_transposed(layer, flat)[..., : network.n_projecting(layer - 1)]
            value = xp.reshape(sent, (*front, count, outputs, sent.shape[-1]))
        power = excess(value)
        scale = scale.shifted(power)
        rows.append(times(value, Scale(0.5, 1 - power)))
        scales.append(scale)
    return Derivatives(tuple(rows[::-1]), tuple(scales[::-1]))


@dataclass(frozen=True, eq=False, repr=False)
class Control(Brief):
    """The controller's equation for one batch, as `settling.settle` asks for it.

    A point holds u and Newton's change of it, what is left of the equation, the matrix J Q + a I
    over 1 + a, whether that was taken at u itself, and the drives v_l.

    Attributes
    ----------
    activity : the forward pass
    error : (..., batch, n_outputs)
    at_rest : the derivatives there
    feedback : L matrices (..., N_l, n_outputs) that all images share; None where they are made of
        the derivatives at rest
    tolerance : relative residual that is asked for
    """

    network: Network
    activity: Activity
    error: Array
    settings: FeedbackControlSettings
    at_rest: Derivatives
    feedback: tuple[Array, ...] | None
    tolerance: float

    def samples(self, rows: Sequence[int]) -> Control:
        """That of some images."""
        at_rest = replace(
            self.at_rest, rows=tuple(take_rows(row, rows) for row in self.at_rest.rows)
        )
        return replace(
            self,
            activity=self.activity.samples(rows),
            error=take_rows(self.error, rows),
            at_rest=at_rest,
        )

    # --- scales ---

    @property
    def size(self) -> Scale:
        """Of u, lambda / (1 + a)."""
        return Scale.of(self.settings.strength).over(Scale.of(1 + self.settings.leak))

    @property
    def own_scales(self) -> tuple[Scale, ...]:
        """Of what Q_l u is, in units of u."""
        if self.feedback is not None:
            return (ONE,) * self.network.depth
        return (*self.at_rest.scales, ONE)

    @property
    def reach(self) -> tuple[Scale, ...]:
        """Of what the drives move by, in units of u: the largest of those so far."""
        return running_largest(self.own_scales)

    # --- feedback ---

    def fed_back(self, layer: int, control: Array) -> Array:
        """Q_l u, (..., batch, N_l), in the own scale of the layer; 0 for auxiliary units."""
        n, width = self.network.n_projecting(layer), self.network.widths[layer]
        if self.feedback is not None:
            found = rows_times(control, self.feedback[layer - 1][..., :n, :])
        elif layer == self.network.depth:
            by_drives = self.settings.feedback == JACOBIAN
            found = control * self.activity.slope(layer)[..., :n] if by_drives else control
        else:
            rows, xp = self.at_rest.rows[layer - 1], namespace(control)
            found = xp.matmul(control[..., None, :], rows)[..., 0, :]
            if self.settings.feedback == JACOBIAN:
                found = found * self.activity.slope(layer)[..., :n]
        return widened(found, width)

    def matrix(self, slopes: Sequence[Array], there: Derivatives) -> Array:
        """J Q at a state with these slopes and derivatives, (..., batch, n_outputs, n_outputs)."""
        n, xp = self.network.n_outputs, namespace(self.error)
        slope = slopes[-1][..., :n]
        if self.feedback is not None:
            total = slope[..., None] * self.feedback[-1][..., None, :n, :]
        else:
            own = slope * self.activity.slopes[-1][..., :n]
            own = own if self.settings.feedback == JACOBIAN else slope
            device = array_api_compat.device(own)
            total = own[..., None] * xp.eye(n, dtype=own.dtype, device=device)
        for layer in range(1, self.network.depth):
            rows, scale = there.rows[layer - 1], there.scales[layer - 1]
            units = rows.shape[-1]
            slope = slopes[layer - 1][..., :units]
            if self.feedback is not None:
                back = self.feedback[layer - 1][..., None, :units, :]
            else:
                back = xp.matrix_transpose(self.at_rest.rows[layer - 1])
                scale = scale.times(self.own_scales[layer - 1])
                if self.settings.feedback == JACOBIAN:
                    slope = slope * self.activity.slope(layer)[..., :units]
            part = xp.matmul(rows * slope[..., None, :], back)
            total = total + times(part, scale)
        return total

    def newton_matrix(self, loops: Array) -> Array:
        """(J Q + a I) / (1 + a)."""
        xp, n, leak = namespace(loops), loops.shape[-1], self.settings.leak
        unit = xp.eye(n, dtype=loops.dtype, device=array_api_compat.device(loops))
        return loops / (1 + leak) + (leak / (1 + leak)) * unit

    # --- states ---

    def moved(self, control: Array) -> tuple[list[Array], list[Array]]:
        """Changes of the rates in the scales of `reach`, and the drives v_1 .. v_L.

        L - 1 products.
        """
        changes: list[Array] = []
        drives: list[Array] = []
        for layer in range(1, self.network.depth + 1):
            i, unit = layer - 1, self.network.activation(layer)
            h, slope, reach = self.activity.drive(layer), self.activity.slope(layer), self.reach[i]
            pushed = times(self.fed_back(layer, control), self.own_scales[i].over(reach))
            if changes:
                ratio = self.reach[i - 1].over(reach).value
                sent = push_up(self.network, layer, changes[-1])
                pushed = pushed + ratio * sent
            size = self.size.times(reach).value
            drives.append(h + size * pushed)
            changes.append(response(unit, h, slope, pushed, size))
        return changes, drives

    def start(self) -> Tried:
        """Newton's first step from u = 0, in the linearised network."""
        matrix = self.newton_matrix(self.matrix(self.activity.slopes, self.at_rest))
        control = solved(matrix, self.error)
        point = self._at(control, matrix, 0 * control[..., :1])
        return replace(point, passes=1 + self._passes_of_derivatives)

    @property
    def _passes_of_derivatives(self) -> float:
        depth = self.network.depth
        return self.network.n_outputs * max(depth - 2, 0) / max(depth - 1, 1)

    def improved(self, point: Tried) -> Tried:
        """After one more step, by a matrix that has learnt from the last one, and with derivatives
        taken anew where that did not come nearer.

        A step that comes no nearer is not taken with derivatives of another state, and halved with
        those of its own.
        """
        old = point.arrays
        control, step, left, matrix, fresh = old[:5]
        xp, passes = namespace(control), 0.0
        before, own = row_norms(left), fresh[..., 0] > 0
        reach = xp.ones_like(before)
        for _ in range(HALVINGS + 1):
            there = self._at(control + reach[..., None] * step, matrix, fresh)
            passes += 1
            after = row_norms(there.arrays[2])
            worse = ~(after < before)
            if not any_true(worse & own):
                break
            reach = xp.where(worse & own, reach / 2, reach)
        if (there.residuals <= self.tolerance).all():
            return replace(there, passes=passes)
        stay = worse & ~own
        arrays = list(there.arrays)
        for place in (0, 2, *range(5, len(arrays))):
            arrays[place] = xp.where(stay[..., None], old[place], arrays[place])
        slow = ~(after <= SLOW * before)[..., None]
        arrays[3] = secant(matrix, arrays[0] - control, left - arrays[2])
        if any_true(slow):
            arrays[3], share = self._renewed(arrays, slow)
            passes += share * self._passes_of_derivatives
        arrays[1] = solved(arrays[3], arrays[2])
        arrays[4] = xp.astype(slow, fresh.dtype)
        return Tried(tuple(arrays), self._residuals(arrays[0], arrays[1]), passes)

    def _renewed(self, arrays: Sequence[Array], slow: Array) -> tuple[Array, float]:
        """Newton's matrices with those of slow images taken anew, and the share of these."""
        xp, matrix, drives = namespace(slow), arrays[3], arrays[5 : 5 + self.network.depth]
        few = np.flatnonzero(to_numpy(slow[..., 0]))
        splits = slow.ndim == 2 and len(few) < slow.shape[0]  # a stack is not taken apart
        part = self.samples(few.tolist()) if splits else self
        if splits:
            drives = [take_rows(h, few.tolist()) for h in drives]
        units = self.network.activations
        slopes = [unit.slope(h) for unit, h in zip(units, drives, strict=True)]
        found = part.newton_matrix(part.matrix(slopes, derivatives(self.network, slopes)))
        if splits:
            return put_rows(matrix, few.tolist(), found), len(few) / slow.shape[0]
        return xp.where(slow[..., None], found, matrix), 1.0

    def _at(self, control: Array, matrix: Array, fresh: Array) -> Tried:
        """The point at u, with a step by that matrix."""
        changes, drives = self.moved(control)
        leak = self.settings.leak
        shift = times(changes[-1][..., : self.network.n_outputs], self.reach[-1])
        left = self.error - shift / (1 + leak) - (leak / (1 + leak)) * control
        step = solved(matrix, left)
        arrays = (control, step, left, matrix, fresh, *drives, *changes)
        return Tried(arrays, self._residuals(control, step), 1.0)

    def _residuals(self, control: Array, step: Array) -> np.ndarray:
        """What Newton's step would change in the feedback to every layer, over that feedback."""
        layers = range(1, self.network.depth + 1)
        parts = [row_norms(self.fed_back(layer, step)) for layer in layers]
        wholes = [row_norms(self.fed_back(layer, control)) for layer in layers]
        return relative(parts, wholes, row_norms(self.error))

    def responses(self, arrays: Sequence[Array]) -> tuple[Shifts, tuple[Array, ...]]:
        """Those of the layers at a point, their gain lambda / (1 + a), and the rates r_0 .. r_L."""
        depth, control = self.network.depth, arrays[0]
        drives, changes = arrays[5 : 5 + depth], arrays[5 + depth :]
        responses, rates = [], [self.activity.rates[0]]
        scales = tuple(map(self.size.times, self.own_scales))
        for layer, scale in enumerate(scales, 1):
            unit, fed = self.network.activation(layer), self.fed_back(layer, control)
            alone = drives[layer - 1] - scale.value * fed
            responses.append(response(unit, alone, unit.slope(alone), fed, scale.value))
            reach = self.size.times(self.reach[layer - 1])
            rates.append(self.activity.rates[layer] + times(changes[layer - 1], reach))
        rates[-1:] = with_auxiliaries(self.network, rates[-2], rates[-1])
        return Shifts(tuple(responses), scales, (self.size,) * depth), tuple(rates)

    def stability(self, arrays: Sequence[Array], settled: np.ndarray) -> tuple[str, float]:
        """What the eigenvalues of J Q say of the images that have settled, and the passes of it."""
        n, network = self.network.n_outputs, self.network
        if n > MOST_OUTPUTS:
            return f"stability not looked at for more than {MOST_OUTPUTS} outputs", 0.0
        if not settled.any():
            return "", 0.0
        drives = arrays[5 : 5 + network.depth]
        slopes = [unit.slope(h) for unit, h in zip(network.activations, drives, strict=True)]
        pairs = zip(slopes, self.activity.slopes, strict=True)
        there, passes = self.at_rest, 0.0
        if any(any_true(now != before) for now, before in pairs):
            there, passes = derivatives(network, slopes), self._passes_of_derivatives
        loops = to_numpy(self.matrix(slopes, there)).reshape(-1, n, n)[settled]
        least = np.linalg.eigvals(loops.astype(np.float64)).real.min(axis=-1)
        stable, bound = int((least > -self.settings.leak).sum()), -self.settings.leak
        words = (
            f"stable in {stable} of {len(least)} settled (least real part of eig(J Q) "
            f"{least.min():.2g}, bound {bound:.2g})"
        )
        return words, passes


def secant(matrix: Array, step: Array, change: Array) -> Array:
    """The nearest matrix that makes `change` of `step` (Broyden 1965), image by image."""
    xp = namespace(matrix)
    square = xp.linalg.vecdot(step, step)[..., None]
    missed = change - xp.matmul(matrix, step[..., None])[..., 0]
    along = step / xp.where(square > 0, square, xp.ones_like(square))
    return matrix + missed[..., None] * along[..., None, :]

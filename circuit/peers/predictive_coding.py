"""Predictive coding at the rest of its energy (Whittington and Bogacz 2017; Millidge et al. 2022).

    F = 1/2 sum_{l<L} |eps_l|^2 + lambda C(y_L),     eps_l = z_l - f(W_l z_{l-1} + b_l),   z_0 = x

    at rest   eps_l = (A_{l+1} W_{l+1})^T eps_{l+1},   eps_L = lambda e,   e = -dC/dy_L,   A = f'(h)

That is back-propagation's recursion in the network that the errors have moved, and as lambda goes
to 0 it is back-propagation. A clamped output with squared errors is lambda = 1. A synapse reads the
target, f'(h_l) eps_l times z_{l-1}, which is -dF/dW_l. In a linear network with squared errors

    eps_l = F_l^T S^-1 e,     S = I / lambda + sum_{l<L} F_l F_l^T,     F_l = W_L ... W_{l+1}

With the errors as unknowns the Hessian is the identity plus what comes back from the outputs and
from the curvature of the units. So the rest is near where one comes by putting the errors that are
asked for in again, with a memory (`circuit.peers.acceleration`); what is not there after a few such
steps is brought there by Newton's method, each step of which conjugate gradients find in a few
products (`circuit.peers.energy`). No matrix of an image is ever made.

Where units have kinks the energy has, too. Its lowest point then often lies where a drive is 0 and
the slope there is neither of the two: no state fulfils the equations. Such images do not settle,
and their status says so.

Passes, of L - 1 products each: 2 to begin and to end with, 2 for each step with a memory, as many
for each of conjugate gradients, and nearly 3 for each of Newton's; 2 for each step of the rates.

Rao and Ballard 1999, Nature Neuroscience 2:79. Whittington and Bogacz 2017, Neural Computation
29:1229. Millidge, Tschantz and Buckley 2022, Neural Computation 34:1329.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import array_api_compat
import numpy as np

from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, any_true, namespace, require_samples
from circuit.numerics.scale import times
from circuit.peers.acceleration import accelerated
from circuit.peers.energy import Energy, Layers, MovedState, energy_of
from circuit.peers.rule import Companions, Rule
from circuit.peers.settling import (
    Tried,
    after_steps,
    over,
    rounding_floors,
    settle,
    tolerance_for,
)
from circuit.peers.signal import TARGET, Rest, Signal
from circuit.records.brief import Brief, counted
from circuit.settings.peers.predictive_coding import STATES, PredictiveCodingSettings
from circuit.verification.sliding import has_kink

BUDGET = 40  # Newton's steps
FORCING = 0.03  # relative accuracy of a step of Newton's while the Hessian still changes
INNER = 60  # steps of conjugate gradients
HALVINGS = {False: 6, True: 2}  # of a step of Newton's that goes too far; where units have kinks


@dataclass(frozen=True, eq=False, repr=False)
class ErrorDescent(Brief):
    """Newton's method on the energy of one batch, as `settling.settle` asks for it.

    A point holds v_1 .. v_L, d_1 .. d_L, h_1 .. h_L, and the gradient of the layers 1 .. L.
    """

    energy: Energy
    first: Layers
    tolerance: float

    def samples(self, rows: Sequence[int]) -> ErrorDescent:
        """That of some images."""
        return replace(self, energy=self.energy.samples(rows), first=[])

    def start(self) -> Tried:
        """From no errors, with a memory of the steps."""
        if self.energy.network.depth == 1:  # nothing is there to come to rest
            activity, blank = self.energy.activity, [0 * self.first[-1]]
            state = MovedState(self.first, blank, list(activity.drives), list(activity.slopes))
            return self._point(state, blank, blank, 0)
        state, gradient, passes = accelerated(self.energy, self.first, self.tolerance / 2)
        missing = self.energy.missing(state)
        return self._point(state, missing, gradient, 2 + passes)

    def _point(self, state: MovedState, missing: Layers, gradient: Layers, passes: float) -> Tried:
        arrays = (*state.errors, *state.shifts, *state.drives, *gradient)
        return Tried(arrays, self.energy.residuals(state, missing), passes)

    def state(self, arrays: Sequence[Array]) -> tuple[MovedState, Layers]:
        """A point's state and gradient."""
        n = self.energy.network.depth
        errors, shifts, drives, gradient = (list(arrays[i * n : (i + 1) * n]) for i in range(4))
        units = self.energy.network.activations
        slopes = [unit.slope(h) for unit, h in zip(units, drives, strict=True)]
        return MovedState(errors, shifts, drives, slopes), gradient

    def improved(self, point: Tried) -> Tried:
        """After one step of Newton's, halved for images that it would carry too far."""
        state, gradient = self.state(point.arrays)
        step, passes = conjugate_step(self.energy, state, gradient, self._accuracy(point))
        xp = namespace(state.errors[-1])
        before = self.energy.norm(gradient[:-1])
        length = self.energy.norm(step)[..., None]
        along = [change / xp.where(length > 0, length, xp.ones_like(length)) for change in step]
        reach = xp.ones_like(before)
        halvings = HALVINGS[any(map(has_kink, self.energy.network.activations))]
        for trial in range(halvings + 1):
            errors = [
                error + reach[..., None] * change
                for error, change in zip(state.errors, step, strict=False)
            ]
            there = self.energy.state(errors)
            missing = self.energy.missing(there)
            residuals = self.energy.residuals(there, missing)
            passes += 2
            if (residuals <= self.tolerance).all():
                return self._point(there, missing, missing, passes)
            found = self.energy.gradient(there, missing)
            passes += self.energy.passes_of_gradient
            after = self.energy.norm(found[:-1])
            # still downhill at the end of the step, or nearer to the rest
            fine = (after < before) | (self.energy.inner(found, along) <= 0)
            if trial == halvings or not any_true(~fine):
                break
            reach = xp.where(fine, reach, reach / 2)
        return self._point(there, missing, found, passes)

    def _accuracy(self, point: Tried) -> Array:
        """Of the linear solve of each image, relative, (..., batch)."""
        worst, energy = point.residuals.max(axis=0), self.energy
        asked = 0.1 * self.tolerance / np.where(np.isfinite(worst), worst, 1.0)
        constant = not (energy.smooth or any(map(has_kink, energy.network.activations)))
        if not constant:  # where the Hessian does not change on the way, one solve is to do
            asked = np.maximum(asked, np.minimum(worst, FORCING))
        wanted = np.clip(asked, 1e-14, 1.0)
        like = point.arrays[0]
        return namespace(like).asarray(
            wanted.reshape(like.shape[:-1]), dtype=like.dtype, device=array_api_compat.device(like)
        )


def conjugate_step(
    energy: Energy, state: MovedState, gradient: Layers, accuracy: Array
) -> tuple[Layers, float]:
    """Newton's step of v_1 .. v_{L-1}, H step = -gradient, and the passes that it took.

    By conjugate gradients, image by image; where the energy curves down along a direction what was
    found so far, or the first direction, so that every step leads down.

    Parameters
    ----------
    accuracy : (..., batch), of the solution, relative
    """
    xp = namespace(gradient[0])
    size = energy.norm(gradient[:-1])  # so that errors of any size leave their squares in range
    size = xp.where(size > 0, size, xp.ones_like(size))[..., None]
    left = [-value / size for value in gradient[:-1]]
    step, along = [0 * value for value in left], left
    square = energy.inner(left, left)
    enough = accuracy**2 * square
    going = square > enough
    passes = 0.0
    for turn in range(INNER):
        if not any_true(going):
            break
        curved = energy.curvature(state, gradient, along)
        passes += 2
        bend = energy.inner(along, curved)
        down = going & ~(bend > 0)
        if turn == 0:
            bend = xp.where(down, square, bend)
        else:
            going = going & ~down
        far = xp.where(going, square / xp.where(going, bend, xp.ones_like(bend)), 0 * square)
        step = [x + far[..., None] * p for x, p in zip(step, along, strict=True)]
        left = [r - far[..., None] * c for r, c in zip(left, curved, strict=True)]
        if turn == 0:
            going = going & ~down
        now = energy.inner(left, left)
        going = going & (now > enough)
        ratio = xp.where(going, now / xp.where(going, square, xp.ones_like(square)), 0 * now)
        along = [r + ratio[..., None] * p for r, p in zip(left, along, strict=True)]
        square = now
    return [size * value for value in step], passes


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def by_states(
    energy: Energy, first: Layers, settings: PredictiveCodingSettings
) -> tuple[MovedState, Rest]:
    """Steps of the rates down the gradient of the energy, from the forward pass.

    z_l moves by step times (A_{l+1} W_{l+1})^T eps_{l+1} - eps_l, all layers at once, so that an
    error comes down by one layer in a step.
    """
    tolerance = tolerance_for(settings.tolerance, first[-1])
    moved = [0 * value for value in first[:-1]]
    last: list[np.ndarray] = []
    for steps in range(settings.steps + 1):
        state = energy.state([], moved)
        missing = energy.missing(state)
        last = [*last[-1:], energy.residuals(state, missing)]
        if steps == settings.steps or over(last[-1], tolerance):
            break
        for i, error in enumerate(missing[:-1]):
            own = energy.scales[i].over(energy.reach[i])
            moved[i] = moved[i] - settings.step * times(error, own)
    words = f"{counted(steps, 'step')} of {settings.step:g} of the rates"
    return state, after_steps(last, tolerance, 1 + 2 * (steps + 1), words)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: PredictiveCodingSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """See `circuit.peers.rule.Rule`."""
    error = output_error(network, activity, targets, loss)
    require_samples(error)
    energy, first = energy_of(network, activity, targets, loss, settings.strength, error)
    if settings.inference == STATES:
        state, rest = by_states(energy, first, settings)
    else:
        tolerance = tolerance_for(settings.tolerance, error)
        descent = ErrorDescent(energy, first, tolerance)
        arrays, rest = settle(
            descent,
            tolerance=tolerance,
            floors=rounding_floors(error, network.widths),
            budget=BUDGET,
            splittable=error.ndim == 2,
            kinks=any(map(has_kink, network.activations)),
        )
        with np.errstate(all="ignore"):  # of images that have not settled
            state, _ = descent.state(arrays)
    return Signal(energy.activity_of(state), energy.shifts_of(state.errors), TARGET, rest=rest)


RULE = Rule(
    name="pc",
    words="predictive coding: errors at the rest of their energy",
    reference="Whittington and Bogacz 2017",
    settings=PredictiveCodingSettings,
    signal=signal,
    settles=True,
)

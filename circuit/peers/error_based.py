"""Predictive coding whose unknowns are the errors (Goemaere, Oliviers, Bogacz and Demeester 2025).

The energy of `circuit.peers.energy`, with the errors as unknowns and the rates following from them,

    eps_l <- eps_l - step [ eps_l - lambda F_l^T e ],     F_l = dy_L/dz_l and e = -dC/dy_L as moved

from eps_l = 0, so that every layer hears of the output error at every step. The first step gives
back-propagation times step and lambda, exactly; what is learnt then says nothing about the rest of
the energy. The record says how far from there the errors still are: as the residual of each layer,
and in its words as |eps - lambda F^T e| over |lambda F^T e|, all layers together, of the worst
image. In a linear network with a convex loss eps is no further than the former from where it would
come to rest, since the Hessian is the identity and more.

A synapse reads the target at the rates that the last errors make, as in `predictive_coding`.

Passes, of L - 1 products each: 1 to begin with, and nearly 3 for each step.

Goemaere, Oliviers, Bogacz and Demeester 2025, "Error optimization: overcoming exponential signal
decay in deep predictive coding networks", arXiv:2505.20137.
"""

from __future__ import annotations

import numpy as np

from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, flattened, require_samples
from circuit.peers.energy import Energy, Layers, MovedState, energy_of
from circuit.peers.rule import Companions, Rule
from circuit.peers.settling import after_steps, over, tolerance_for
from circuit.peers.signal import TARGET, Rest, Signal
from circuit.records.brief import counted
from circuit.settings.peers.predictive_coding import ErrorBasedSettings


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def descended(
    energy: Energy, first: Layers, settings: ErrorBasedSettings
) -> tuple[MovedState, Rest]:
    """The state after the steps, and what became of it.

    Parameters
    ----------
    first : back-propagation's shift, which is the first gradient but for its sign
    """
    tolerance = tolerance_for(settings.tolerance, first[-1])
    errors, gradient = [0 * value for value in first[:-1]], [-value for value in first[:-1]]
    last: list[np.ndarray] = []
    steps, settled = 0, False
    while steps < settings.steps and not settled:
        errors = [
            error - settings.step * slope for error, slope in zip(errors, gradient, strict=False)
        ]
        state = energy.state(errors)
        missing = energy.missing(state)
        gradient = energy.gradient(state, missing)
        last = [*last[-1:], energy.residuals(state, missing)]
        settled = over(last[-1], tolerance)
        steps += 1
    passes = steps * (2 + energy.passes_of_gradient)
    words = f"{counted(steps, 'step')} of {settings.step:g}"
    if energy.network.depth > 1:
        words += f", distance from equilibrium up to {distance(energy, state, gradient):.1e}"
    return state, after_steps(last, tolerance, 1 + passes, words)


def distance(energy: Energy, state: MovedState, gradient: Layers) -> float:
    """|eps - lambda F^T e| over |lambda F^T e|, all layers together, of the worst image."""
    asked = [error - slope for error, slope in zip(state.errors, gradient, strict=True)]
    left, whole = (flattened(energy.norm(one[:-1])) for one in (gradient, asked))
    found = np.where(left > 0, left / np.where(whole > 0, whole, 1.0), 0.0)
    return float(np.where((left > 0) & (whole == 0), np.inf, found).max())


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: ErrorBasedSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """See `circuit.peers.rule.Rule`."""
    error = output_error(network, activity, targets, loss)
    require_samples(error)
    energy, first = energy_of(network, activity, targets, loss, settings.strength, error)
    state, rest = descended(energy, first, settings)
    shifts = energy.shifts_of(state.errors)
    return Signal(energy.activity_of(state), shifts, TARGET, rest=rest)


RULE = Rule(
    name="epc",
    words="predictive coding by steps of its errors",
    reference="Goemaere et al. 2025",
    settings=ErrorBasedSettings,
    signal=signal,
    settles=True,
)

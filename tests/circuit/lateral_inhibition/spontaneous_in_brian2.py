"""A layer in a phase of spontaneous activity, all of whose synapses are plastic.

Owns its groups and synapses, and their run through a list of patterns. Does not own the equations
as text, nor the settings and the record of a phase (`spontaneous_equations`).
"""

from __future__ import annotations

import numpy as np

from circuit.brian.library import (
    brian2,
    code_class,
    divergence_unsaid,
    require_runtime,
    run_steps,
)
from circuit.brian.objects import RESPOND, SUM_DRIVES
from circuit.checks.given import real_array
from circuit.errors import CircuitError, NotFinite
from tests.circuit.lateral_inhibition import spontaneous_equations as spontaneous
from tests.circuit.lateral_inhibition.spontaneous_equations import Spontaneous, SpontaneousRecord

SHOW = -4  # place of the patterns in Brian2's slot "groups", before all sums


def run_spontaneous(
    phase: Spontaneous,
    weights: np.ndarray,
    lateral: np.ndarray,
    patterns: np.ndarray,
    *,
    codegen: str = "numpy",
) -> SpontaneousRecord:
    """Present patterns one after another to a layer whose synapses are all plastic.

    Rates start at 0. In every step all sums are taken first, then synapses and rates change, each
    from what was there before: an Euler step of the equations in `spontaneous_equations`.

    Parameters
    ----------
    weights : array (n_post, n_pre), at the beginning
    lateral : array (n_post, n_post), M at the beginning
    patterns : array (patterns, n_pre)

    Raises
    ------
    CircuitError, NotFinite
        For arrays that do not fit, and where rates or synapses have run away.
    KeyboardInterrupt
        Where the run was stopped.
    """
    weights, lateral, patterns = (
        real_array("an array of a spontaneous phase", one).astype(float)
        for one in (weights, lateral, patterns)
    )
    if weights.ndim != 2 or 0 in weights.shape:
        raise CircuitError(f"weights {weights.shape} are not a matrix (n_post, n_pre); give one")
    n_post, n_pre = weights.shape
    if lateral.shape != (n_post, n_post) or patterns.ndim != 2 or patterns.shape[1] != n_pre:
        raise CircuitError(
            f"weights {weights.shape} need lateral weights ({n_post}, {n_post}) and patterns "
            f"(any, {n_pre}), not {lateral.shape} and {patterns.shape}"
        )
    for what, array in (("weights", weights), ("lateral", lateral), ("patterns", patterns)):
        if not np.isfinite(array).all():
            raise NotFinite(f"{what} of a spontaneous phase are not finite; give finite ones")
    require_runtime()
    second = brian2.second
    clock = brian2.Clock(dt=phase.step * second, name="spontaneous_clock")
    common = {"clock": clock, "dtype": np.float64, "codeobj_class": code_class(codegen)}
    shown = brian2.TimedArray(
        patterns, dt=phase.period * phase.step * second, name="spontaneous_patterns"
    )
    inputs = brian2.NeuronGroup(
        n_pre,
        spontaneous.PRESYNAPTIC,
        namespace={"patterns": shown},
        name="spontaneous_inputs",
        **common,
    )
    inputs.subexpression_updater.when, inputs.subexpression_updater.order = "groups", SHOW
    units = brian2.NeuronGroup(
        n_post, spontaneous.UNITS, method="euler", namespace={}, name="spontaneous_units", **common
    )
    units.tau = phase.time_constant * second
    joined = []
    for name, source, text, matrix, slowness in (
        ("feedforward", inputs, spontaneous.FEEDFORWARD, weights, phase.feedforward_time),
        ("lateral", units, spontaneous.LATERAL, lateral, phase.lateral_time),
    ):
        synapses = brian2.Synapses(
            source, units, text, method="euler", namespace={}, name=f"spontaneous_{name}", **common
        )
        post, pre = np.indices(matrix.shape).reshape(2, -1)
        synapses.connect(i=pre, j=post)
        synapses.weight = matrix.ravel()
        synapses.slowness = slowness * second
        synapses.period, synapses.wait = phase.period, phase.wait
        (updater,) = synapses.summed_updaters.values()
        updater.order, synapses.state_updater.order = SUM_DRIVES, RESPOND
        joined.append(synapses)
    joined[0].pull = 8 * phase.strength
    network = brian2.Network(inputs, units, *joined)
    with divergence_unsaid():  # what runs away is refused below
        run_steps(network, clock, len(patterns) * phase.period)
    found = [np.array(one.weight_[:]) for one in joined]
    rates = np.array(units.r_[:])
    if not all(np.all(np.isfinite(one)) for one in (*found, rates)):
        raise NotFinite(
            "rates of the spontaneous phase have run away; use slower lateral plasticity"
        )
    trained, inhibiting = found
    return SpontaneousRecord(
        trained.reshape(weights.shape), inhibiting.reshape(lateral.shape), rates
    )

"""The circuit: how far each layer shifts where the circuit with its weak feedback comes to rest.

Owns the way from a lesson's settings to `circuit.equilibrium.settle` and back. Shifts, or
mismatches, of auxiliary units are zero: they follow what drives them, and there is no target in
them to learn from.
"""

from __future__ import annotations

import numpy as np

from circuit.dynamics import build_circuit
from circuit.equilibrium import settle
from circuit.learned_inverse.model import noise_of, read_with
from circuit.losses import Loss, output_error
from circuit.methods.table import default_method
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, widened
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Rest, Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.of_lesson import CircuitSettings
from circuit.shifts import Shifts
from circuit.trial import Trial

MOST_SWEEPS = 30  # through another feedback than the exact inverse; what needs more is left out


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: CircuitSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`. Of each layer's residuals the record keeps the worst image's, and that
    stands for all.
    """
    error = output_error(network, activity, targets, loss)
    noise = noise_of(network, settings.rate_noise, companions, step, error)
    back, strengths = settings.inverse, settings.strengths(network.depth)
    if back is None:
        circuit, steps = build_circuit(network, settings.pathway, strengths), None
    else:
        model, steps = back.model(network, companions), MOST_SWEEPS
        circuit = build_circuit(
            network, settings.pathway, strengths, feedback=model, corrected=back.corrected
        )
    trial = Trial(circuit, activity, widened(error, network.widths[-1]))
    # a sample that is not found at once waits for the next epoch: no second method is tried
    method = default_method(circuit)
    record = settle(trial, method, max_steps=steps, must_converge=False)
    worst = np.array(record.relative_residuals)[:, np.newaxis]
    residuals = np.broadcast_to(worst, (network.depth, len(record.sample_status)))
    shifts = _of_projecting(network, record.read_out(settings.readout))
    return Signal(
        record.trial.activity,
        read_with(noise, shifts),
        rest=Rest(record.sample_status, residuals, record.evaluations),
    )


def _of_projecting(network: Network, shifts: Shifts) -> Shifts:
    """The read-out with that of auxiliary units set to zero."""
    return shifts.with_values(
        tuple(
            widened(value[..., : network.n_projecting(layer)], value.shape[-1])
            for layer, value in enumerate(shifts.values, 1)
        )
    )


RULE = Rule(
    name="circuit",
    words=TABLE["circuit"].words,
    reference="docs/derivation.md",
    settings=CircuitSettings,
    signal=signal,
    needs_inverse=True,
    settles=True,
)

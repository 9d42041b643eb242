"""Units that a state has carried across their kink: what makes a GAIT circuit hard to settle.

Owns that count and the sentence that goes with it. Does not own the theory (docs/derivation.md,
section 4) nor the verdict (`circuit.verification.samples`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuit.errors import TargetOutOfRange
from circuit.numerics.arrays import namespace, to_numpy
from circuit.shift_dynamics import layer_terms
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import jumps_at_kinks


def crossed_fractions(trial: Trial, shifts: Shifts) -> np.ndarray:
    """Fraction of units of each sample and layer whose drive is across its kink, (L, samples).

    A drive that is not finite counts as across. Layer 1, whose drive no feedback reaches, has none.
    """
    fractions = []
    for layer, terms in enumerate(layer_terms(trial, shifts), 1):
        if terms.drive_shift is None:
            fractions.append(np.zeros(int(np.prod(trial.error.shape[:-1]))))
            continue
        scale = shifts.scales[layer - 2].value
        drive = trial.activity.drive(layer)
        stays = trial.network.activation(layer).stays(drive, terms.drive_shift, scale)
        xp = namespace(stays)
        share = xp.mean(xp.astype(~stays, trial.error.dtype), axis=-1)
        fractions.append(to_numpy(share).reshape(-1))
    return np.stack(fractions)


@np.errstate(all="ignore")  # of a state that is out of range
def words(trial: Trial, shifts: Shifts, failed: Sequence[bool]) -> str:
    """What kinks have to do with samples that did not settle; empty if nothing.

    Only said of circuits in which what units send down jumps at their kink. There an image rests
    with units at their kink more often than without, and that no state was found is not to say that
    there is none.
    """
    if not jumps_at_kinks(trial):
        return ""
    try:
        each = crossed_fractions(trial, shifts)[:, list(map(bool, failed))].mean(axis=1)
    except TargetOutOfRange:  # other units of the network have left their range
        return ""
    layers = np.flatnonzero(each > 0) + 1
    if not layers.size:
        return ""
    most = int(np.argmax(each)) + 1
    where = f"layer {layers[0]}" if layers.size == 1 else f"{layers.size} layers"
    return (
        f"units lie across their kink in {where} (most in layer {most}: {each[most - 1]:.0%}), and "
        "there what they send down jumps; no state was found, with such units at their kink or not"
    )

"""The diagonals that the linearised circuit consists of, beside its weights.

With t_l a deviation of the rates of layer l and k_l = W_l t_{l-1},

    tau_l (J t)_l = -t_l + (1 - gamma_l) A_l k_l + gamma_l W_{l+1}^-1 v_{l+1}
    v_l = o_l t_l + i_l k_l

where A is the slope at the drive that a unit receives, A' that at the point it sends down, m its
mismatch, N the length of its row of weights, and

    ITP    o = 1 / A' ,     i = 0
    GAIT   o = A^2 / A' ,   i = (A - A^3 + 2 A f'' m) / A'
    GRAIT  o = A^2 N^2 / A' ,   i = (A - A^3 N^2 + 2 A f'' N^2 m) / A' .

Through other matrices B takes the place of W^-1, and <w, b> / <b, b> of a row w of W and the column
b of B that of N^2 (`InverseModel.squared_lengths`). In a corrected circuit feedback is added to the
rate that is there: the leak is 1 - gamma instead of 1, and i is less by 1, of what goes down in the
ITP pathway too. In a plain one m is all of the mismatch, that of the free phase included.

Units that get no feedback keep all of their drive.
"""

from __future__ import annotations

from circuit.numerics.arrays import Array
from circuit.shift_dynamics import Balance
from circuit.shifts import Shifts
from circuit.trial import Trial


def diagonals(
    trial: Trial, shifts: Shifts, terms: Balance, layer: int
) -> tuple[Array, Array, Array | float]:
    """A, o and i of a layer above the first, `(..., batch, N_l)`, at the state of `shifts`.

    `terms` are `balance(trial, shifts)`. Where i is the same for all units it is one number.
    """
    circuit, unit = trial.circuit, trial.network.activation(layer)
    scale, below = shifts.scales[layer - 1].value, shifts.scales[layer - 2].value
    moved = trial.activity.drive(layer) + below * terms.drive_shifts[layer - 1]
    at_rest = moved if circuit.from_present_drive else trial.senders_at_rest(layer)
    slope = unit.slope(moved)
    own = 1 / unit.slope(at_rest + scale * terms.messages[layer - 1])
    fed: Array | float = 0.0
    if circuit.pathway.gradient_adjusted:
        mismatch = circuit.by_rows(layer, scale * terms.mismatches[layer - 1])
        if trial.still is not None:
            mismatch = mismatch + trial.still_by_rows(layer)
        squared = circuit.by_rows(layer, slope * slope)
        steepening = 2 * slope * unit.curvature(moved) * mismatch
        fed = (slope - squared * slope + steepening) * own
        own = squared * own
    if circuit.sends_deviations:
        fed = fed - 1
    return slope, own, fed

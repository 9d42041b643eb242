"""Predictive coding with fixed predictions (Whittington and Bogacz 2017; Millidge et al. 2022).

The predictions f(h_l) and the slopes stay those of the forward pass while the errors come to rest,

    eps_l <- eps_l + step [ (A_{l+1} W_{l+1})^T eps_{l+1} - eps_l ],   l < L,     eps_L = lambda e

from eps_l = 0 and all layers at once. At rest this is back-propagation times lambda, whatever the
step; with step 1 it is there after L - 1 sweeps, each of which carries the error down by one layer.
After fewer, the layers below have learnt nothing. A synapse reads the target, f'(h_l) eps_l times
the rates of the forward pass.

Products: those of which a factor has changed since the last sweep. With step 1 these are L - 1 in
all, as in back-propagation; with another step up to L - 1 a sweep, and as many for the scales.

Whittington and Bogacz 2017, Neural Computation 29:1229. Millidge, Tschantz and Buckley 2022, Neural
Computation 34:1329.
"""

from __future__ import annotations

import numpy as np

from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, require_samples, row_norms, widened
from circuit.numerics.scale import ONE, Scale, times
from circuit.peers.rule import Companions, Rule
from circuit.peers.settling import after_steps, over, relative, tolerance_for
from circuit.peers.signal import TARGET, Rest, Signal
from circuit.records.brief import counted
from circuit.rules import back_propagation
from circuit.settings.peers.predictive_coding import FixedPredictionSettings
from circuit.shifts import Shifts, excess, renormalised

SWEEPS = 10_000  # where none are given: more than any step needs that is of use


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def swept(
    network: Network, activity: Activity, error: Array, settings: FixedPredictionSettings
) -> tuple[Shifts, Rest]:
    """The errors after the sweeps, and what became of them.

    Parameters
    ----------
    error : (..., batch, n_outputs), e
    """
    depth = network.depth
    output, top = renormalised(widened(error, network.widths[-1]), ONE, depth)
    errors = [*(0 * drive for drive in activity.drives[:-1]), output]  # per lambda
    scales = [top] * depth
    if settings.step != 1:  # what comes to a layer first is far less than what it comes to rest at
        scales = list(back_propagation(network, activity, error).scales)
    asked = errors[:-1]  # of the layers 1 .. L-1
    tolerance = tolerance_for(settings.tolerance, output)
    moved = {depth - 1}  # places whose error has changed since the layer below read it
    last: list[np.ndarray] = []
    products, sweeps = 0 if settings.step == 1 else depth - 1, 0
    while True:
        wanted = list(asked)
        for i in [i for i in range(depth - 1) if i + 1 in moved]:
            message = (activity.slopes[i + 1] * errors[i + 1])[..., : network.n_projecting(i + 2)]
            sent = network.pull_transposed(i + 2, message)
            if settings.step == 1:
                scales[i] = scales[i + 1].shifted(excess(sent))
            wanted[i] = times(sent, scales[i + 1].over(scales[i]))
            products += 1
        asked = wanted
        left = [*(v - w for v, w in zip(errors, asked, strict=False)), 0 * output]
        norms = list(map(row_norms, left)), list(map(row_norms, errors))
        last = [*last[-1:], relative(*norms, row_norms(output))]
        if sweeps == (settings.sweeps or SWEEPS) or over(last[-1], tolerance):
            break
        moved = {i for i in range(depth - 1) if asked[i] is not errors[i]}
        for i in moved:
            errors[i] = asked[i] if settings.step == 1 else errors[i] - settings.step * left[i]
        sweeps += 1
    size = Scale.of(settings.strength)
    shifts = Shifts(tuple(errors), tuple(map(size.times, scales)), (size,) * depth)
    words = f"{counted(sweeps, 'sweep')} with step {settings.step:g}"
    return shifts, after_steps(last, tolerance, products / max(depth - 1, 1), words)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: FixedPredictionSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """See `circuit.peers.rule.Rule`."""
    error = output_error(network, activity, targets, loss)
    require_samples(error)
    shifts, rest = swept(network, activity, error, settings)
    return Signal(activity, shifts, TARGET, rest=rest)


RULE = Rule(
    name="pc_fixed",
    words="predictive coding whose predictions stay those of the forward pass",
    reference="Whittington and Bogacz 2017; Millidge et al. 2022",
    settings=FixedPredictionSettings,
    signal=signal,
    settles=True,
)

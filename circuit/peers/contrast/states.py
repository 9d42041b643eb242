"""A rule's free state, its change under a nudge, what synapses read of both, and the gradient.

Owns the way from a forward pass to a `Signal` with the reading "contrast":

    dW_l = gamma^(l-L) / beta [s_l s_{l-1}^T (nudged) - s_l s_{l-1}^T (free)],

centred with -beta in place of the free state and 2 beta for beta. Free state and change are found
apart, the change in scales of its own (`circuit.peers.contrast.layers`), so that no layer loses a
digit to the size of its rates.

Owns also the loss's gradient at the free state, by implicit differentiation. With C_l what a layer
gets from both sides, the free state is s = f(C(s)), and under an infinitesimal force beta e at the
output it moves by beta v,

    v_l = f'(h_l) (W_l v_{l-1} + gamma W_{l+1}^T v_{l+1}),   v_L = f'(h_L) (W_L v_{L-1} + e);

the coupling being symmetric in the weights gamma^l, v is the adjoint as well, and

    -dL/dW_l = gamma^(l-L) (v_l s_{l-1}^T + s_l v_{l-1}^T),   -dL/db_l = gamma^(l-L) v_l.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import array_api_compat
import numpy as np

from circuit.errors import CircuitError, NotFinite
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import Array, epsilon, namespace, product_rounding, put_rows, take_rows
from circuit.numerics.scale import Scale, times
from circuit.numerics.taken import taken
from circuit.peers.contrast.critical import critical_strength
from circuit.peers.contrast.layers import FreeLayers, descended
from circuit.peers.contrast.nudge import nudge
from circuit.peers.contrast.relaxation import relaxation
from circuit.peers.contrast.sweeps import descend, settled
from circuit.peers.reading import signal_updates
from circuit.peers.settling import tolerance_for
from circuit.peers.signal import CONTRAST, Rest, Signal
from circuit.peers.steepness import is_quadratic
from circuit.plasticity import Update
from circuit.settings.peers.contrast import FORCE, SPRING, EquilibriumPropagationSettings
from circuit.shifts import Shifts
from circuit.verification.judgement import Status
from circuit.verification.samples import worst_of

NO_BETA = Scale(0.5, -4000)  # so weak a nudge that every difference is its limit
LARGE = 2**23  # multiplications in a pass, from which on rough sweeps come first
ROUGH_TOLERANCE = 1e-7  # coarser ones need no second precision
HOPELESS = (Status.DIVERGED, Status.NOT_FINITE)


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def contrast_signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: EquilibriumPropagationSettings,
    companions: object = None,
    step: int = 0,
) -> Signal:
    """What synapses learn from: see the module's docstring.

    Parameters
    ----------
    activity : the forward pass
    targets : (..., batch, n_outputs)
    loss : a name in `LOSSES`, or a function (outputs, targets) -> -dL/d outputs

    Returns
    -------
    Signal
        Counted from the free state. Images without one have the forward pass in its place and no
        shift, and so have images whose change came to nothing finite; `rest` tells which. Its words
        name the critical strength where feedback is stronger than that.

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite
        Among others for a spring that pushes an output away from its target with beta >= 1, which
        leaves it no state.
    """
    require_activity(network, activity)
    _require_pull(loss, settings)
    targets = taken("targets", targets, activity.rates[-1])
    output_error(network, activity, targets, loss)  # which refuses what is no loss or target
    networks = network, _rough(network, activity, settings)
    state, rest = _free_state(networks, activity, settings)
    sides = []
    for sign in (1.0, -1.0) if settings.centred else (1.0,):
        shifts, rest = _change(networks, state, rest, (targets, loss), settings, sign)
        sides.append(shifts)
    lost = [i for i, one in enumerate(rest.status) if one in HOPELESS]
    moved, middle = _contrast(state, [_without(shifts, lost) for shifts in sides])
    if not all(rest.converged):
        rest = replace(rest, words=_words(network, settings, loss))
    return Signal(state, moved, CONTRAST, middle, rest)


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def free_state(
    network: Network, activity: Activity, settings: EquilibriumPropagationSettings
) -> tuple[Activity, Rest]:
    """The fixed point of s_l = f(W_l s_{l-1} + b_l + gamma W_{l+1}^T s_{l+1}) by the forward pass.

    Returns
    -------
    Rates, drives with what comes from above, and slopes there; of images that have none those of
    the forward pass. And what became of each image.

    Examples
    --------
    >>> from circuit import forward, initialise
    >>> from circuit.peers import free_state
    >>> from circuit.settings.peers.contrast import EquilibriumPropagationSettings
    >>> network = initialise([3, 2, 2], 0)
    >>> activity, settings = forward(network, [[0.1, 0.2, 0.3]]), EquilibriumPropagationSettings()
    >>> state, rest = free_state(network, activity, settings)
    >>> rest.status[0].value, state.rates[1].shape
    ('converged', (1, 2))
    """
    return _free_state((network, _rough(network, activity, settings)), activity, settings)


Networks = tuple[Network, Network | None]  # and the same in less precision, where that is worth it


def _free_state(
    networks: Networks, activity: Activity, settings: EquilibriumPropagationSettings
) -> tuple[Activity, Rest]:
    network, rough = networks
    factors = relaxation(network, settings.gamma, activity.slopes, activity.slope(network.depth))
    layers = FreeLayers(network, settings.gamma, activity.drive(1), factors)
    started = descend(layers, activity.drives, activity.rates[1:])
    tolerance = tolerance_for(settings.tolerance, activity.rates[-1])
    values, drives, rest = settled(layers, started, tolerance, settings.sweeps, rough)
    lost = [i for i, one in enumerate(rest.status) if one in HOPELESS]
    if lost:
        for i in range(network.depth):
            values[i] = _replaced(values[i], activity.rates[i + 1], lost)
            drives[i] = _replaced(drives[i], activity.drives[i], lost)
    units = zip(network.activations, drives, strict=True)
    slopes = tuple(unit.slope(drive) for unit, drive in units)
    return Activity((activity.rates[0], *values), tuple(drives), slopes), rest


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def own_gradient(
    network: Network,
    signal: Signal,
    targets: Array,
    loss: str | Loss,
    settings: EquilibriumPropagationSettings,
) -> tuple[Update, ...]:
    """-dL/dW and -dL/db, averaged over the images that settled, of the loss at the free state.

    Parameters
    ----------
    signal : of `contrast_signal`; its activity is the free state

    Raises
    ------
    CircuitError
        Where a free state is so near to being lost that the gradient is not found.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import forward, initialise
    >>> from circuit.learning import Lesson, teach
    >>> from circuit.peers import own_gradient, signal_updates
    >>> from circuit.settings.peers.contrast import EquilibriumPropagationSettings
    >>> network, targets = initialise([3, 2, 2], 0, activation="asinh"), np.array([[0.0, 1.0]])
    >>> activity, settings = forward(network, [[0.1, 0.2, 0.3]]), EquilibriumPropagationSettings()
    >>> signal = teach(network, Lesson("ep", settings=settings), activity, targets)
    >>> (exact, _), (found, _) = (
    ...     own_gradient(network, signal, targets, "quadratic", settings),
    ...     signal_updates(network, signal),
    ... )
    >>> np.allclose(found.weights, exact.weights, rtol=0.01)
    True
    """
    free = signal.activity
    pushed = nudge(network, free, taken("targets", targets, free.rates[-1]), loss, FORCE, 1.0)
    share = _share(signal.rest, pushed.start)
    pushed = replace(pushed, start=share * pushed.start, scale=pushed.scale.times(NO_BETA))
    layers, started = descended(network, free, settings.gamma, pushed)
    finest = product_rounding(epsilon(free.rates[-1]), max(network.widths))
    values, _, rest = settled(layers, started, finest, settings.sweeps)
    fine = (Status.CONVERGED, Status.NOT_RESOLVABLE)  # both to rounding
    if any(one not in fine for one in rest.status):
        raise CircuitError(
            "the loss has no gradient at the free state of some images, which is about to be lost; "
            "use weaker feedback"
        )
    gains = _gains(network, settings.gamma, NO_BETA)
    shifts = Shifts(tuple(values), layers.scales, gains)
    return signal_updates(network, Signal(free, shifts, CONTRAST))


def _change(
    networks: Networks,
    state: Activity,
    rest: Rest,
    aim: tuple[Array, str | Loss],
    settings: EquilibriumPropagationSettings,
    sign: float,
) -> tuple[Shifts, Rest]:
    """How the free state changes under the nudge `sign` beta, and what became of each image so far;
    in those that are lost it may be anything.
    """
    network, rough = networks
    gains = _gains(network, settings.gamma, Scale.of(settings.beta))
    values = [0 * rates for rates in state.rates[1:]]
    rows = [i for i, one in enumerate(rest.status) if one not in HOPELESS]
    if not rows:
        return Shifts(tuple(values), gains, gains), rest
    targets, loss = aim
    part, splits = state, state.rates[-1].ndim == 2 and len(rows) < len(rest.status)
    if splits:  # a stack is not taken apart
        part, targets = state.samples(rows), take_rows(targets, rows)
    pushed = nudge(network, part, targets, loss, settings.nudge, settings.beta, sign)
    layers, started = descended(network, part, settings.gamma, pushed)
    tolerance = tolerance_for(settings.tolerance, part.rates[-1])
    moved, _, found = settled(layers, started, tolerance, settings.sweeps, rough)
    if splits:
        moved = [put_rows(old, rows, new) for old, new in zip(values, moved, strict=True)]
    places = rows if splits else range(len(rest.status))
    return Shifts(tuple(moved), layers.scales, gains), _after(rest, found, places)


def _without(shifts: Shifts, places: Sequence[int]) -> Shifts:
    """None of the samples in those places."""
    blank = [namespace(value).zeros_like(value) for value in shifts.values]
    pairs = zip(shifts.values, blank, strict=True)
    return shifts.with_values(tuple(_replaced(value, zero, places) for value, zero in pairs))


def _after(rest: Rest, found: Rest, places: Sequence[int]) -> Rest:
    """The record of an attempt with another after it, of the images in these places."""
    status, residuals = list(rest.status), rest.residuals.copy()
    for i, place in enumerate(places):
        residuals[:, place] = np.maximum(residuals[:, place], found.residuals[:, i])
        status[place] = worst_of((status[place], found.status[i]))
    return Rest(tuple(status), residuals, rest.passes + found.passes)


def _contrast(state: Activity, sides: Sequence[Shifts]) -> tuple[Shifts, tuple[Array, ...]]:
    """The shifts between the two states that are contrasted, and the mean of the states, from the
    change of one nudge, or of two that are opposite.
    """
    first = sides[0]
    if len(sides) == 1:
        changes, moved = [first.absolute(layer) for layer in range(1, first.depth + 1)], first
    else:
        last = sides[1]
        values, changes = [], []
        for layer in range(1, first.depth + 1):
            ratio = last.scales[layer - 1].over(first.scales[layer - 1])  # a power of two
            values.append(first.values[layer - 1] - times(last.values[layer - 1], ratio))
            changes.append(first.absolute(layer) + last.absolute(layer))
        gains = tuple(gain.times(2.0) for gain in first.gains)
        moved = Shifts(tuple(values), first.scales, gains)
    rates = zip(state.rates[1:], changes, strict=True)
    return moved, (state.rates[0], *(own + change / 2 for own, change in rates))


def _share(rest: Rest | None, like: Array) -> Array | float:
    """Of each image (..., batch, 1) in the mean over those that settled, beside 1/batch."""
    if rest is None or all(rest.converged):
        return 1.0
    settled = rest.converged.reshape(like.shape[:-1]).astype(float)
    fraction = np.maximum(settled.mean(axis=-1, keepdims=True), 1 / settled.shape[-1])
    xp, device = namespace(like), array_api_compat.device(like)
    return xp.asarray(settled / fraction, dtype=like.dtype, device=device)[..., None]


def _gains(network: Network, gamma: float, beta: Scale) -> tuple[Scale, ...]:
    """Of the layers 1 .. L, beta gamma^(L-l)."""
    gains = [beta]
    for _ in range(network.depth - 1):
        gains.insert(0, gains[0].times(gamma))
    return tuple(gains)


def _rough(
    network: Network, activity: Activity, settings: EquilibriumPropagationSettings
) -> Network | None:
    """The network in float32, where it is worth it to begin in that: products take half the time,
    and what it costs to round weights once is made up for.
    """
    outputs, sizes = activity.rates[-1], [weights.shape for weights in network.weights[1:]]
    multiplications = sum(int(n) * int(m) for *_, n, m in sizes) * int(outputs.shape[-2])
    xp = namespace(outputs)
    tolerance = tolerance_for(settings.tolerance, outputs)
    fine = outputs.dtype == xp.float64 and tolerance < ROUGH_TOLERANCE
    if not (fine and multiplications >= LARGE):
        return None
    try:
        return network.astype(xp.float32)
    except NotFinite:  # weights that float32 does not hold
        return None


def _replaced(array: Array, others: Array, places: Sequence[int]) -> Array:
    """`array` with the samples in those places taken from `others`, both (..., batch, units)."""
    if not places:
        return array
    xp, mask = namespace(array), np.zeros(array.shape[:-1], dtype=bool)
    mask.reshape(-1)[list(places)] = True
    return xp.where(
        xp.asarray(mask, device=array_api_compat.device(array))[..., None], others, array
    )


def _words(network: Network, settings: EquilibriumPropagationSettings, loss: str | Loss) -> str:
    """Where feedback is too strong to be sure of a state, by how much; else nothing.

    Of a loss that is not quadratic no bound is known for what a push adds: it is that of the free
    state.
    """
    slope, left = network.activations[-1].largest_slope, 1.0  # of the pull towards a state
    if settings.centred and settings.nudge == SPRING and is_quadratic(loss):
        left -= settings.beta * slope
    critical = critical_strength(network, slope / left) if left > 0 else 0.0
    if settings.gamma < critical:
        return ""
    units = [unit.smallest_slope == unit.largest_slope for unit in network.activations]
    lost = "there is no free state" if all(units) else "a free state is not certain"
    return (
        f"feedback strength gamma {settings.gamma:g} is not below the critical {critical:.4g}, "
        f"from which {lost}; use weaker feedback"
    )


def _require_pull(loss: str | Loss, settings: EquilibriumPropagationSettings) -> None:
    """Raise `CircuitError` for a spring that pushes the output away for good."""
    pushes = settings.centred and settings.nudge == SPRING
    if pushes and settings.beta >= 1 and is_quadratic(loss):
        raise CircuitError(
            f"nudge beta {settings.beta:g} on both sides, as a spring, pushes the output away from "
            "its target for good; use beta below 1, a force, or one side"
        )

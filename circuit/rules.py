"""Learning rules as one recursion: BP, TP, ITP, GAIT-prop (paper sections 2 to 5, 9), GRAIT-prop.

Owns the algorithmic shifts. Does not own the circuit that approximates them, nor the weight
change, which `plasticity` derives from any shifts in the same local way.

Every rule has the signature

    rule(network, activity, output_error, feedback_strength) -> Shifts

With targets t_l = y_l + delta_l, Eqs. 5, 12 and 17 are one recursion with three gains, and
GRAIT-prop adds a fourth,

    delta_{l-1} = W_l^-1 [ f^-1(y_l + epsilon_l delta_l) - f^-1(y_l) ] ,  delta_L = t_L - y_L,

    epsilon_l = 1 (TP),  gamma_l (ITP),  gamma_l A_l^2 (GAIT-prop, Eq. 16),
    gamma_l A_l^2 N_l^2 (GRAIT-prop),

N_l,i being the length of row i of W_l. For rows that are orthogonal, W_l^-1 = W_l^T N_l^-2, so that
GRAIT-prop is back-propagation whatever their lengths; GAIT-prop is where they are 1.

Back-propagation (Eq. 3) gives one shift per layer too: delta_{l-1} = W_l^T A_l delta_l. The shift
itself is propagated, with a running scale, never a target: a target holds the shift as the
difference of two numbers of size 1, where it drowns in rounding.

`propagate_targets` is the recursion with another map down than W_l^-1, such as a learned inverse,
and with what else comes into a shift on its way, such as the noise with which rates are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from circuit.checks.outputs import require_error
from circuit.errors import TargetOutOfRange
from circuit.feedback import (
    GRADIENT_ADJUSTED,
    INCREMENTAL,
    ROW_ADJUSTED,
    TARGET_PROPAGATION,
    Gain,
    per_layer,
)
from circuit.messages import itp_message
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import Array, finite_rows, widened
from circuit.numerics.scale import ONE, Scale
from circuit.numerics.taken import taken
from circuit.settings.circuits import WEAK
from circuit.shifts import Shifts, renormalised

Strength = float | Sequence[float]
Rule = Callable[[Network, Activity, Array, Strength], Shifts]


def back_propagation(
    network: Network, activity: Activity, output_error: Array, feedback_strength: Strength = 1.0
) -> Shifts:
    """Eq. 3. The feedback strength does not enter.

    Parameters, returns and errors as `gait_propagation`.
    """
    return propagate_errors(network, activity, output_error, network.pull_transposed)


def propagate_errors(
    network: Network,
    activity: Activity,
    output_error: Array,
    pull: Callable[[int, Array], Array],
) -> Shifts:
    """Eq. 3 with another map down than W_l^T: delta_{l-1} = B_l A_l delta_l.

    Parameters
    ----------
    pull : (layer, drives of the first units) -> rates below, in place of `network.pull_transposed`

    Other parameters, returns and errors as `gait_propagation`.
    """

    def send_down(layer: int, value: Array, scale: Scale) -> tuple[Array, float]:
        sent = slice(None, network.n_projecting(layer))  # the other units have no shift
        message = activity.slope(layer)[..., sent] * value[..., sent]
        return pull(layer, message), 1.0

    return propagate_down(network, activity, output_error, send_down)


def target_propagation(
    network: Network, activity: Activity, output_error: Array, feedback_strength: Strength = 1.0
) -> Shifts:
    """Eqs. 4 and 5. The feedback strength does not enter.

    Parameters, returns and errors as `gait_propagation`.
    """
    return propagate_targets(TARGET_PROPAGATION, network, activity, output_error, 1.0)


def incremental_target_propagation(
    network: Network, activity: Activity, output_error: Array, feedback_strength: Strength = WEAK
) -> Shifts:
    """ITP, Eqs. 12 and 13.

    Parameters, returns and errors as `gait_propagation`.
    """
    return propagate_targets(INCREMENTAL, network, activity, output_error, feedback_strength)


def gait_propagation(
    network: Network, activity: Activity, output_error: Array, feedback_strength: Strength = WEAK
) -> Shifts:
    """GAIT-prop, Eqs. 16 to 18 and Alg. 1.

    Parameters
    ----------
    activity
        The forward pass, with rates `(..., batch, N_l)`.
    output_error : array (..., batch, n_outputs)
        t_L - y_L, from `losses.output_error`.
    feedback_strength
        gamma, or gamma_1 .. gamma_L (gamma_1 does not enter: nothing lies below layer 1). Values
        of 1 leave out a layer's increment (`feedback.output_only` for the variant of section 9).

    Returns
    -------
    Shifts
        delta_l = t_l - y_l; the gain of layer l is the product of gamma_j for j > l.

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite, SingularWeights, TargetOutOfRange
    """
    return propagate_targets(GRADIENT_ADJUSTED, network, activity, output_error, feedback_strength)


def grait_propagation(
    network: Network, activity: Activity, output_error: Array, feedback_strength: Strength = WEAK
) -> Shifts:
    """GRAIT-prop: GAIT-prop with increments adjusted to the lengths of rows of W as well.

    Parameters, returns and errors as `gait_propagation`.
    """
    return propagate_targets(ROW_ADJUSTED, network, activity, output_error, feedback_strength)


RULES: dict[str, Rule] = {
    "gait": gait_propagation,
    "grait": grait_propagation,
    "itp": incremental_target_propagation,
    "tp": target_propagation,
    "bp": back_propagation,
}
"""Rules by name: functions (network, activity, output error) -> `Shifts`."""


GAINS: dict[str, Gain] = {
    "gait": GRADIENT_ADJUSTED,
    "grait": ROW_ADJUSTED,
    "itp": INCREMENTAL,
    "tp": TARGET_PROPAGATION,
}


def propagate_targets(
    gain: Gain,
    network: Network,
    activity: Activity,
    output_error: Array,
    feedback_strength: Strength,
    *,
    pull: Callable[[int, Array], Array] | None = None,
    squared_lengths: Callable[[int], Array] | None = None,
    added: Sequence[Array | None] = (),
) -> Shifts:
    """Eqs. 5, 12 and 17 for any gain.

    Parameters
    ----------
    pull : (layer, drives) -> rates below, in place of `network.pull`
    squared_lengths : layer -> N^2 (..., N_l), in place of `network.squared_lengths`
    added : L arrays (..., batch, n) or None, or none at all
        What is added to the shifts of the first n units of layers 1 .. L before they are learnt
        from and sent down, in units of the rates.

    Other parameters, returns and errors as `gait_propagation`.
    """
    pull = network.pull if pull is None else pull
    lengths = network.squared_lengths if squared_lengths is None else squared_lengths
    strengths = per_layer(
        feedback_strength if gain.incremental else 1.0, network.depth, up_to_one=True
    )

    def send_down(layer: int, value: Array, scale: Scale) -> tuple[Array, float]:
        unit, gamma = network.activation(layer), strengths[layer - 1]
        sent = slice(None, network.n_projecting(layer))  # the other units have no shift
        slope, rates = activity.slope(layer)[..., sent], activity.rates[layer][..., sent]
        deviation = gain.by_rows(value[..., sent], layer, lengths)
        message = gain.local(slope, deviation)  # Eq. 16
        size = scale.times(gamma).value
        try:
            drive_shift = itp_message(
                unit, activity.drive(layer)[..., sent], rates, slope, message, size, refuses=True
            )
        except TargetOutOfRange as refusal:
            nowhere = ~finite_rows([unit.sends(rates, message, size)])
            raise TargetOutOfRange(
                f"{refusal}; layer {layer} has no such target in {nowhere.sum()} of {len(nowhere)} "
                f"samples, the first is sample {nowhere.argmax()}"
            ) from None
        return pull(layer, drive_shift), gamma  # Eqs. 5, 12, 17

    return propagate_down(network, activity, output_error, send_down, added)


def propagate_down(
    network: Network,
    activity: Activity,
    output_error: Array,
    send_down: Callable[[int, Array, Scale], tuple[Array, float]],
    added: Sequence[Array | None] = (),
    nudge: float = 1.0,
) -> Shifts:
    """From the output down to layer 1, by any recursion.

    Parameters
    ----------
    send_down : (layer, value, scale) -> the value of the layer below, and the gain between them
    added : as in `propagate_targets`
    nudge : the output's shift per its error, a gain of all layers

    Other parameters, returns and errors as `gait_propagation`.
    """

    def with_added(layer: int, value: Array, scale: Scale) -> Array:
        extra = added[layer - 1] if added else None
        if extra is None:
            return value
        return value + widened(extra * ONE.over(scale).value, value.shape[-1])

    require_activity(network, activity)
    output_error = taken("the output error", output_error, activity.rates[-1])
    require_error(network, activity, output_error)
    gain = Scale.of(nudge)
    value = with_added(network.depth, widened(output_error, network.widths[-1]), gain)
    value, scale = renormalised(value, gain, network.depth)
    values, scales, gains = [value], [scale], [gain]
    for layer in range(network.depth, 1, -1):
        value, gamma = send_down(layer, value, scale)
        scale = scale.times(gamma)
        value = with_added(layer - 1, value, scale)
        value, scale = renormalised(value, scale, layer - 1)
        gain = gain.times(gamma)
        values.append(value)
        scales.append(scale)
        gains.append(gain)
    return Shifts(tuple(values[::-1]), tuple(scales[::-1]), tuple(gains[::-1]))

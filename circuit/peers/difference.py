"""Difference target propagation through feedback of several forms (Lee et al. 2015).

Owns the recursion of the shifts and the forms of feedback. Does not own how feedback learns.

    t_{l-1} = y_{l-1} + g_l(t_l) - g_l(y_l) ,    t_L = y_L + eta e ,

so that shifts delta_l = t_l - y_l have delta_{l-1} = g_l(y_l + delta_l) - g_l(y_l), which is
computed as a difference, without cancellation, however small eta. The forms, with B_l (n_l, N_l):

    below    g_l(y) = f_{l-1}(B_l y + c_l)    Lee et al.; it ends in units of the layer below
    linear   g_l(y) = B_l y
    above    g_l(y) = B_l f_l(y)              Jacobian B_l A_l in leaky-ReLU layers: W_l^T A_l,
                                              which is back-propagation's, for B_l = W_l^T
    inverse  g_l(y) = B_l f_l^-1(y)           Jacobian B_l A_l^-1: target propagation for
                                              B_l = W_l^-1, whatever the units

All but the first are linear in B, which then learns from changes of what it reads and needs no c.

Lee, Zhang, Fischer and Bengio, Difference target propagation, ECML 2015.
"""

from __future__ import annotations

from collections.abc import Callable

from circuit.learned_inverse.inverse_model import InverseModel
from circuit.messages import itp_message, response
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, widened
from circuit.numerics.scale import Scale
from circuit.rules import propagate_down
from circuit.settings.peers.dtp import ABOVE, INVERSE
from circuit.shifts import Shifts

BELOW = "below"


Read = Callable[[Array, float], Array]


def reader(network: Network, activity: Activity, form: str, layer: int) -> Read:
    """(shift, scale) -> what B_l sees of a shift of the first n units of `layer`, in the same
    scale, `(..., batch, n)`: that of u(y), u being 1, f_l or f_l^-1.
    """
    unit, rates = network.activation(layer), activity.rates[layer]
    drives, slopes = activity.drive(layer), activity.slope(layer)
    if form == ABOVE:
        slopes = unit.slope(rates)

    def read(shift: Array, scale: float) -> Array:
        some = slice(None, shift.shape[-1])
        y, slope = rates[..., some], slopes[..., some]
        if form == ABOVE:
            return response(unit, y, slope, shift, scale)
        if form == INVERSE:
            return itp_message(unit, drives[..., some], y, slope, shift, scale, refuses=True)
        return shift

    return read


def brought_down(
    network: Network,
    activity: Activity,
    model: InverseModel,
    form: str,
    layer: int,
    shift: Array,
    scale: float,
) -> Array:
    """[g_l(y_l + s d) - g_l(y_l)] / s, `(..., batch, first n units) -> (..., batch, n_l)`.

    Raises `TargetOutOfRange` where f_l^-1 does not exist.
    """
    down = model.pull(layer, reader(network, activity, form, layer)(shift, scale))
    if form != BELOW:
        return down
    unit, drives = network.activation(layer - 1), model.reconstruct(layer, activity.rates[layer])
    return response(unit, drives, unit.slope(drives), down, scale)


def difference_shifts(
    network: Network,
    activity: Activity,
    error: Array,
    model: InverseModel,
    form: str,
    nudge: float,
) -> Shifts:
    """The recursion from t_L = y_L + nudge e down, all shifts with the gain `nudge`."""

    def send_down(layer: int, value: Array, scale: Scale) -> tuple[Array, float]:
        sent = value[..., : network.n_projecting(layer)]  # the other units have no shift
        down = brought_down(network, activity, model, form, layer, sent, scale.value)
        return widened(down, network.widths[layer - 1]), 1.0

    return propagate_down(network, activity, error, send_down, nudge=nudge)

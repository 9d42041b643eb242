"""Losses on the output units, each given by the error that it sends down (paper section 5).

Owns the map from outputs and targets to the output error `e = t_L - y_L = -dL/dy_L`: any loss whose
gradient is known takes the place of the quadratic one. A user's own loss is any function of the
same signature.
"""

from __future__ import annotations

from collections.abc import Callable

from circuit.checks.given import require_choice
from circuit.checks.outputs import require_classes, require_targets
from circuit.errors import ShapeMismatch
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import Array, namespace, require_finite
from circuit.numerics.taken import taken
from circuit.settings.losses import CROSS_ENTROPY, QUADRATIC

Loss = Callable[[Array, Array], Array]


def quadratic(outputs: Array, targets: Array) -> Array:
    """Error of L = 1/2 |y - t|^2 (Eq. 2): t - y. Shapes `(..., batch, n_outputs)`."""
    return targets - outputs


def softmax_cross_entropy(outputs: Array, targets: Array) -> Array:
    """Error of the cross-entropy of softmax(y) with class probabilities t: t - softmax(y)."""
    require_classes(outputs.shape[-1])
    xp = namespace(outputs)
    exponentials = xp.exp(outputs - xp.max(outputs, axis=-1, keepdims=True))
    total = xp.sum(targets, axis=-1, keepdims=True)
    return targets - total * exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


LOSSES: dict[str, Loss] = {QUADRATIC: quadratic, CROSS_ENTROPY: softmax_cross_entropy}
"""Losses by name: functions (outputs, targets) -> -dL/d outputs."""


def output_error(
    network: Network, activity: Activity, targets: Array, loss: str | Loss = "quadratic"
) -> Array:
    """The error at the output units that carry one, `-dL/dy_L`, `(..., batch, n_outputs)`.

    Parameters
    ----------
    targets : array (..., batch, n_outputs)
    loss : a name in `LOSSES`, or a function (outputs, targets) -> -dL/d outputs

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import Network, forward, output_error
    >>> network = Network.from_layers([[[1, 2]]], activations="linear")
    >>> output_error(network, forward(network, [[3, 4]]), [[10]])
    array([[-1.]])
    """
    if not callable(loss):
        require_choice("loss", loss, LOSSES)
        loss = LOSSES[loss]
    require_activity(network, activity)
    outputs = activity.rates[-1][..., : network.n_outputs]
    targets = taken("targets", targets, outputs)
    require_targets(targets, outputs)
    error = loss(outputs, targets)
    namespace(error, outputs)
    if tuple(error.shape) != tuple(outputs.shape) or error.dtype != outputs.dtype:
        raise ShapeMismatch(
            f"the loss returned an error of shape {tuple(error.shape)} and dtype {error.dtype}; it "
            f"must return -dL/dy of shape {tuple(outputs.shape)} and dtype {outputs.dtype}"
        )
    require_finite(error, "the output error", "check the loss and its gradient")
    return error

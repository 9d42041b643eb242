"""Targets and errors of the outputs, as a caller or a loss gives them."""

from __future__ import annotations

from circuit.errors import CircuitError, ShapeMismatch
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, require_finite


def require_error(network: Network, activity: Activity, error: Array) -> None:
    """Raise `ShapeMismatch` unless there is an error for each output that carries one, and for each
    sample of the activity.
    """
    outputs = activity.rates[-1]
    namespace(error, outputs)
    wanted = (*outputs.shape[:-1], network.n_outputs)
    if error.ndim and error.shape[-1] != network.n_outputs:
        raise ShapeMismatch(
            f"the output error has {error.shape[-1]} units; the network has "
            f"{network.n_outputs} output units with an error signal"
        )
    if tuple(error.shape) != wanted or error.dtype != outputs.dtype:
        raise ShapeMismatch(
            f"the output error has shape {tuple(error.shape)} and dtype {error.dtype}; this "
            f"activity needs {wanted} of {outputs.dtype}"
        )


def require_all_errors(activity: Activity, error: Array) -> None:
    """Raise `ShapeMismatch` unless there is an error, or 0, for every output and sample."""
    outputs = activity.rates[-1]
    namespace(error, outputs)
    if tuple(error.shape) != tuple(outputs.shape):
        raise ShapeMismatch(
            f"the error has shape {tuple(error.shape)}; this activity needs one for every output, "
            f"{tuple(outputs.shape)}"
        )


def require_targets(targets: Array, outputs: Array) -> None:
    """Raise `ShapeMismatch` or `NotFinite` unless there is one target for each of the `outputs`
    `(..., batch, n_outputs)`.
    """
    namespace(targets, outputs)
    if tuple(targets.shape) != tuple(outputs.shape) or targets.dtype != outputs.dtype:
        raise ShapeMismatch(
            f"targets have shape {tuple(targets.shape)} and dtype {targets.dtype}; the output "
            f"needs {tuple(outputs.shape)} of {outputs.dtype}"
        )
    require_finite(targets, "targets", "remove or replace such entries")


def require_classes(n_outputs: int) -> None:
    """Raise `CircuitError` for the cross-entropy of one output, whose softmax is always 1."""
    if n_outputs == 1:
        raise CircuitError(
            "loss cross_entropy of 1 output, as for 1 class: the softmax of one output is always "
            "1, so that nothing is learnt; use loss quadratic, or one output for each of 2 or more "
            "classes"
        )

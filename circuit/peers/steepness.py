"""How the output error changes with the outputs, without cancellation, and to first order.

Owns the three kinds: quadratic, cross-entropy, and any function of one's own, which is called
again. Does not own the losses (`circuit.losses`).

Where a network does well the error is a small difference of outputs and targets. What becomes of it
when outputs change is computed from the change alone, so that it keeps the digits that it has.
"""

from __future__ import annotations

from circuit.losses import Loss, quadratic, softmax_cross_entropy
from circuit.numerics.arrays import Array, epsilon, namespace, row_norms


def is_quadratic(loss: str | Loss) -> bool:
    """Whether the error is t - y."""
    return loss == "quadratic" or loss is quadratic


def is_cross_entropy(loss: str | Loss) -> bool:
    """Whether the error is t - softmax(y)."""
    return loss == "cross_entropy" or loss is softmax_cross_entropy


def error_after(
    loss: str | Loss, error: Array, outputs: Array, targets: Array, change: Array
) -> Array:
    """-dC/dy at `outputs` + `change`, from the `error` at the outputs; all (..., batch, n_outputs).

    Of a function of one's own it is that function's, with the digits that it has.
    """
    if is_quadratic(loss):
        return error - change
    if is_cross_entropy(loss):
        xp = namespace(outputs)
        chances = softmax(outputs)
        growth = xp.expm1(change)
        mean = xp.sum(chances * growth, axis=-1, keepdims=True)
        total = xp.sum(targets, axis=-1, keepdims=True)
        return error - total * chances * (growth - mean) / (1 + mean)
    assert callable(loss)  # a name has been looked up before
    return loss(outputs + change, targets)


def softmax(outputs: Array) -> Array:
    """Chances of the classes, (..., batch, n_outputs)."""
    xp = namespace(outputs)
    exponentials = xp.exp(outputs - xp.max(outputs, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


def error_change(loss: str | Loss, outputs: Array, targets: Array, tangent: Array) -> Array:
    """The derivative of -dC/dy along `tangent`, (..., batch, n_outputs) as all of them.

    Of a function of one's own by a forward difference, good to the square root of the precision.
    """
    if is_quadratic(loss):
        return -tangent
    xp = namespace(outputs)
    if is_cross_entropy(loss):
        chances = softmax(outputs)
        mean = xp.sum(chances * tangent, axis=-1, keepdims=True)
        return -xp.sum(targets, axis=-1, keepdims=True) * chances * (tangent - mean)
    assert callable(loss)  # a name has been looked up before
    length = row_norms(tangent)[..., None]
    length = xp.where(length > 0, length, xp.ones_like(length))
    step = epsilon(outputs) ** 0.5 * (1 + row_norms(outputs)[..., None])
    moved = loss(outputs + step * (tangent / length), targets)
    return (moved - loss(outputs, targets)) * (length / step)

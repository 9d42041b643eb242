"""Every way in which the library refuses to answer, as a typed exception, and its warnings."""

from __future__ import annotations


class CircuitError(ValueError):
    """Bad input. The message is one line that names the value and the remedy."""


class SingularWeights(CircuitError):
    """A weight matrix has no inverse, or none that this precision can resolve."""


class TargetOutOfRange(CircuitError):
    """The inverse of an activation function was asked for a value outside its range."""


class NotFinite(CircuitError):
    """A NaN or an infinity, in the data, the weights, or a result."""


class ShapeMismatch(CircuitError):
    """An array does not have the shape or the dtype that the network needs."""


class IllConditioned(UserWarning):
    """Weights that have an inverse, but one that float arithmetic serves badly."""


class Rounded(UserWarning):
    """Numbers of float64 were given where the weights are float32."""


class NotSettled(RuntimeError):
    """The circuit was not brought to an equilibrium. `record` holds what was reached."""

    def __init__(self, message: str, record: object) -> None:
        super().__init__(message)
        self.record = record

    def __reduce__(self) -> tuple[type[NotSettled], tuple[str, object]]:
        return type(self), (str(self), self.record)  # from another process too


def shortened(text: str, most: int) -> str:
    """`text`, without its middle if it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}[...{len(text) - 2 * half} characters...]{text[-half:]}"

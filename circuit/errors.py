"""Every way in which the library refuses to answer, as a typed exception, and its warnings."""

from __future__ import annotations


class CircuitError(ValueError):
    """Bad input. The message is one line that names the value and the remedy.

    Examples
    --------
    >>> from circuit import initialise
    >>> initialise([4, 3], 0, init="luck")
    Traceback (most recent call last):
    circuit.errors.CircuitError: init 'luck' is unknown; choose from orthogonal, ...
    """


class SingularWeights(CircuitError):
    """A weight matrix has no inverse, or none that this precision can resolve.

    Examples
    --------
    >>> from circuit import Network
    >>> Network.from_layers([[[1, 2, 3], [2, 4, 6]], [[0, 0]]]).padded()
    Traceback (most recent call last):
    circuit.errors.SingularWeights: the 1 rows of W of layer 2 depend on each other ...
    """


class TargetOutOfRange(CircuitError):
    """The inverse of an activation function was asked for a value outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import tanh
    >>> tanh().inverse(np.array([1.5]))
    Traceback (most recent call last):
    circuit.errors.TargetOutOfRange: tanh has no inverse at a rate of size 1.5, ...
    """


class NotFinite(CircuitError):
    """A NaN or an infinity, in the data, the weights, or a result.

    Examples
    --------
    >>> from circuit import forward, initialise
    >>> forward(initialise([2, 2], 0), [[0.0, float("nan")]])
    Traceback (most recent call last):
    circuit.errors.NotFinite: inputs holds nan at index (0, 1); remove or replace such entries
    """


class ShapeMismatch(CircuitError):
    """An array does not have the shape or the dtype that the network needs.

    Examples
    --------
    >>> from circuit import forward, initialise
    >>> forward(initialise([2, 2], 0), [[1, 2, 3]])
    Traceback (most recent call last):
    circuit.errors.ShapeMismatch: inputs have shape (1, 3); the network needs (..., batch, 2)
    """


class IllConditioned(UserWarning):
    """Weights that have an inverse, but one that float arithmetic serves badly."""


class Rounded(UserWarning):
    """Numbers of float64 were given where the weights are float32."""


class NotSettled(RuntimeError):
    """The circuit was not brought to an equilibrium. `record` holds what was reached.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle(trial, "sweep", max_steps=1)
    Traceback (most recent call last):
    circuit.errors.NotSettled: sweep: ran out of budget after 1 steps; 1 of 1 ...
    """

    def __init__(self, message: str, record: object) -> None:
        super().__init__(message)
        self.record = record

    def __reduce__(self) -> tuple[type[NotSettled], tuple[str, object]]:
        return type(self), (str(self), self.record)  # from another process too

"""What a network answers: the class of its largest output, and how often that is right.

Owns which outputs count: those that have a target. Auxiliary outputs answer nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuit.checks.given import real_array
from circuit.errors import ShapeMismatch
from circuit.network import Network, forward
from circuit.numerics.arrays import Array, namespace, to_numpy


def outputs(network: Network, images: Array) -> Array:
    """The outputs that have a target, `(..., batch, N_0) -> (..., batch, n_outputs)`."""
    return forward(network, images).rates[-1][..., : network.n_outputs]


def predict(network: Network, images: Array) -> np.ndarray:
    """The class of every image: its largest output, from 0 on.

    Of a single output, 1 where it is above 0 and else 0.

    Parameters
    ----------
    images : array (..., batch, N_0)

    Returns
    -------
    array (..., batch) of int64

    Examples
    --------
    >>> from circuit import Network, predict
    >>> network = Network.from_layers([[[1, 0], [0, 1]]])
    >>> predict(network, [[1, 2], [4, 3], [5, 6]])
    array([1, 0, 1])
    """
    values = to_numpy(outputs(network, images))
    if network.n_outputs == 1:
        return (values[..., 0] > 0).astype(np.int64)
    return values.argmax(axis=-1).astype(np.int64)


def are_right(outputs: Array, targets: Array) -> Array:
    """Whether the class of the outputs is that of the targets, as `predict` has it, (..., batch).

    Parameters
    ----------
    outputs, targets : arrays (..., batch, n_outputs)
    """
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] > 0) == (targets[..., 0] > 0)
    xp = namespace(outputs)
    return xp.argmax(outputs, axis=-1) == xp.argmax(targets, axis=-1)


def accuracy(network: Network, images: Array, labels: Any) -> float:
    """The fraction of images whose class is that of their label.

    Parameters
    ----------
    images : array (batch, N_0)
    labels : (batch,) whole numbers from 0 on

    Raises
    ------
    ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import Network, accuracy
    >>> network = Network.from_layers([[[1, 0], [0, 1]]])
    >>> accuracy(network, [[1, 2], [4, 3], [5, 6]], [1, 0, 0])
    0.6666666666666666
    """
    found, wanted = predict(network, images), real_array("labels", labels)
    if wanted.shape != found.shape[-1:] or not wanted.size:
        raise ShapeMismatch(
            f"labels have shape {wanted.shape}; {found.shape[-1]} images need one label each, a "
            "whole number from 0 on"
        )
    return float(np.mean(found == wanted))

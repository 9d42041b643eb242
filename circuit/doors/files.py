"""Networks on disk, as a person reads and writes them: our own files, and those of others.

Owns which arrays of a foreign file are weights. Does not own the format of our own files
(`circuit.storage.networks`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from circuit.activations import Activation
from circuit.doors.units import RELU_SLOPE
from circuit.network import Network
from circuit.storage.networks import arrays_of, network_of, save_network

REMEDY = (
    "give a file written by save, or one with W_1, b_1, ... and its activation functions "
    "(--weights-activation)"
)


def save(path: str | os.PathLike[str], network: Network) -> None:
    """Write a network to an .npz file whole, or leave what was there (`save_network`).

    Raises
    ------
    CircuitError

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import initialise, load, save
    >>> with TemporaryDirectory() as folder:
    ...     save(f"{folder}/mine.npz", initialise([4, 3, 2], 0))
    ...     print(load(f"{folder}/mine.npz"))
    Network(4-3-2, leaky_relu, 2 outputs)
    """
    save_network(Path(path), network)


def load(
    path: str | os.PathLike[str],
    activations: str | Activation | Sequence[str | Activation] | None = None,
    *,
    n_outputs: int | None = None,
    relu_slope: float = RELU_SLOPE,
) -> Network:
    """The network in an .npz file, as NumPy arrays.

    Parameters
    ----------
    path
        Written by `save`, or any file with W_1 .. W_L (N_l, n_l) and, unless they are zero, b_1 ..
        b_L. Nothing else in it is looked at.
    activations, n_outputs, relu_slope
        As in `Network.from_layers`; of a file that does not say them itself.

    Raises
    ------
    CircuitError
        In one line with the name of the file, also for activations that the file says itself.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import load
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", W_1=[[1.0, 0.5]], W_2=[[2.0]])
    ...     print(load(f"{folder}/mine.npz", activations=("tanh", "linear")))
    Network(2-1-1, tanh linear, 1 output)
    """
    file = Path(path)
    with arrays_of(file, "weights file", REMEDY) as members:
        if "format" in members:
            if activations is not None:
                raise ValueError("it says its activation functions itself, and others were given")
            return network_of(members)
        if activations is None:
            raise ValueError("it says no activation functions, and none were given")
        weights, biases = _layers(members)
        return Network.from_layers(
            weights, biases, activations, n_outputs=n_outputs, relu_slope=relu_slope
        )


def _layers(
    members: Mapping[str, np.ndarray],
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """W_1 .. W_L and b_1 .. b_L of a file."""
    count = sum(1 for name in members if name.startswith("W_"))
    if not count:
        raise ValueError(f"it has {', '.join(sorted(members)[:5]) or 'no arrays'}, and no W_1")
    weights = [members[f"W_{layer}"] for layer in range(1, count + 1)]
    surplus = {name for name in members if name.startswith("b_")}
    surplus -= {f"b_{layer}" for layer in range(1, count + 1)}
    if surplus:
        raise ValueError(f"it has {min(surplus)} but {count} weights")
    return weights, [members.get(f"b_{layer}") for layer in range(1, count + 1)]

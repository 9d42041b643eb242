"""A network's weights on disk, as an .npz file that holds nothing but plain arrays.

Owns the file format, and the writing of any file whole or not at all.

Members: `format` and `version`; `n_inputs`, `n_outputs`; `activations` (L names) and
`smallest_slopes` (L numbers, which tell one leaky-ReLU from another); `W_1` .. `W_L` (N_l, n_l) and
`b_1` .. `b_L` (N_l); where there are any, `notes` (texts). Nothing is pickled, and what is read
back is the same bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from circuit.activations import Activation
from circuit.checks.words import shortened
from circuit.errors import CircuitError
from circuit.network import Network
from circuit.numerics.arrays import to_numpy
from circuit.storage import archives
from circuit.storage.files import write_atomically
from circuit.units.leaky_relu import leaky_relu
from circuit.units.table import ACTIVATIONS

FORMAT = "gait-circuit weights"
VERSION = 1
MOST_WORDS = 400  # characters of what is wrong


def save_network(path: str | os.PathLike[str], network: Network) -> None:
    """Write `network` whole, or leave what was there.

    Raises `CircuitError` for a stack of networks, an activation function that is none of this
    project's, a name that does not end in .npz, or a folder that cannot be written to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import initialise
    >>> from circuit.storage import save_network
    >>> with TemporaryDirectory() as folder:
    ...     save_network(f"{folder}/mine.txt", initialise([4, 3, 2], 0))
    Traceback (most recent call last):
    circuit.errors.CircuitError: weights file ... the name ...
    """
    write_arrays(path, network_arrays(network))


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """Write plain arrays to an .npz file whole, or leave what was there.

    Raises `CircuitError` for another name, or a folder that cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise CircuitError(f"weights file {path}: the name must end in .npz")
    write_atomically(path, lambda name: np.savez(name, allow_pickle=False, **arrays))


def network_arrays(network: Network) -> dict[str, np.ndarray]:
    """The members of its file. Raises `CircuitError` for a network that cannot be saved."""
    if any(weights.ndim != 2 for weights in network.weights):
        raise CircuitError("the weights are a stack of networks; save one network at a time")
    for unit in network.activations:
        if unit.name not in ACTIVATIONS or _activation(unit.name, unit.smallest_slope) is None:
            raise CircuitError(
                f"activation {unit.name!r} cannot be saved; use one of {', '.join(ACTIVATIONS)}"
            )
    arrays: dict[str, np.ndarray] = {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "n_inputs": np.array(network.n_inputs),
        "n_outputs": np.array(network.n_outputs),
        "activations": np.array([unit.name for unit in network.activations]),
        "smallest_slopes": np.array([unit.smallest_slope for unit in network.activations]),
    }
    for layer, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True), 1):
        arrays[f"W_{layer}"], arrays[f"b_{layer}"] = to_numpy(weights), to_numpy(bias)
    if network.notes:
        arrays["notes"] = np.array(network.notes)
    return arrays


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network in the file, as NumPy arrays.

    Raises `CircuitError`, in one line with the name of the file, where it is missing, damaged, of
    another kind or of a version that is not known here, or where what it holds is no network.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import initialise
    >>> from circuit.storage import load_network, save_network
    >>> with TemporaryDirectory() as folder:
    ...     save_network(f"{folder}/mine.npz", initialise([4, 3, 2], 0))
    ...     print(load_network(f"{folder}/mine.npz"))
    Network(4-3-2, leaky_relu, 2 outputs)
    """
    remedy = "give a file written by circuit.save"
    with arrays_of(Path(path), "weights file", remedy) as members:
        return network_of(members)


@contextmanager
def arrays_of(path: Path, kind: str, remedy: str) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an .npz file, to be read in the block.

    Raises `CircuitError`, in one line that begins with `kind` and ends with `remedy`, for what is
    wrong with the file, and also for what the block finds wrong with its arrays.
    """
    try:
        with archives.opened(path) as arrays:
            yield arrays
    except FileNotFoundError:
        raise CircuitError(f"{kind} {path}: no such file; {remedy}") from None
    except KeyError as error:
        raise CircuitError(f"{kind} {path}: it has no {error}; {remedy}") from None
    except RecursionError:
        raise CircuitError(f"{kind} {path}: it is nested too deeply; {remedy}") from None
    except (CircuitError, ValueError, TypeError, OverflowError, AttributeError) as error:
        words = shortened(" ".join(str(error).split()), MOST_WORDS)
        raise CircuitError(f"{kind} {path}: {words}; {remedy}") from None
    except Exception as error:  # zipfile and its decompressors share no other base
        words = " ".join(str(error).split())
        raise CircuitError(
            f"{kind} {path} cannot be read ({type(error).__name__}: {words}); {remedy}"
        ) from None


def network_of(members: Mapping[str, np.ndarray]) -> Network:
    """The network of a file's members. Raises `ValueError` or `CircuitError` where it is none."""
    if str(members["format"]) != FORMAT:
        raise ValueError(f"its format is {str(members['format'])[:40]!r}, not {FORMAT!r}")
    version = members["version"].item()
    if version != VERSION:
        raise ValueError(f"its version is {version}, and only version {VERSION} is known here")
    names = [str(name) for name in np.atleast_1d(members["activations"])]
    slopes = [float(slope) for slope in np.atleast_1d(members["smallest_slopes"])]
    units = []
    for name, slope in zip(names, slopes, strict=True):
        unit = _activation(name, slope)
        if unit is None:
            raise ValueError(f"its activation {name!r} with slope {slope} is unknown")
        units.append(unit)
    layers = range(1, len(names) + 1)
    surplus = f"W_{len(names) + 1}"
    if surplus in members:
        raise ValueError(f"it has {surplus} but {len(names)} activations")
    return Network(
        weights=tuple(members[f"W_{layer}"] for layer in layers),
        biases=tuple(members[f"b_{layer}"] for layer in layers),
        activations=tuple(units),
        n_inputs=int(members["n_inputs"].item()),
        n_outputs=int(members["n_outputs"].item()),
        notes=tuple(map(str, members["notes"])) if "notes" in members else (),
    )


def _activation(name: str, smallest_slope: float) -> Activation | None:
    """The activation function of this name and smallest slope; None if there is none."""
    if name not in ACTIVATIONS:
        return None
    if name == "leaky_relu":
        return leaky_relu(smallest_slope) if 0 < smallest_slope < 1 else None
    unit = ACTIVATIONS[name]()
    return unit if unit.smallest_slope == smallest_slope else None

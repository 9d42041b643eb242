"""What every study starts from: a network, real images for it, and their targets.

Owns the way from the plain parameters of a cell to arrays. A process keeps the last few settings,
so that cells which differ only in feedback strength share one network and its factorised weights.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.sweep.study import Cell
from circuit.errors import CircuitError, IllConditioned
from circuit.initialisation.networks import initialise
from circuit.network import Network
from circuit.storage.networks import load_network
from training import images
from training.sources import kept
from training.weights_files import fitted


@dataclass(frozen=True, eq=False)
class StudySetting:
    """A network beside a batch of images.

    Attributes
    ----------
    inputs : array (batch, pixels), in [0, 1]
    targets : array (batch, outputs), one-hot, or those of one's own images
    """

    network: Network
    inputs: np.ndarray
    targets: np.ndarray


FIRST_PIXELS, WHOLE_IMAGE = "first pixels", "whole image"  # what layer 1 reads


def reading(dataset: str) -> Cell:
    """The parameter of cells that says what a narrow layer 1 reads: `WHOLE_IMAGE`.

    Cells on digits have none and read the first pixels, as when their results were measured. Of the
    larger images those are black.
    """
    return {} if dataset == "digits" else {"reads": WHOLE_IMAGE}


@kept(maxsize=4)
def setting(
    *,
    dataset: str = "digits",
    batch: int = 60,
    depth: int = 3,
    width: int = 64,
    init: str = "orthogonal",
    activation: str = "leaky_relu",
    seed: int = 1,
    data_dir: str | None = None,
    weights: str | None = None,
    reads: str = FIRST_PIXELS,
) -> StudySetting:
    """The setting of a cell.

    Parameters
    ----------
    depth : hidden layers, so that L = depth + 1
    width : units of the layers 1 .. L, at least the number of classes
    reads : whether layer 1 reads all pixels ("whole image"), or the first `width` of them, which
        then is at most their number ("first pixels")
    init : "orthogonal", "gaussian", or "trained" for the network in `weights`
    weights : a file of `circuit.storage.networks`, whose depth, widths and activation functions
        then count; `depth`, `width` and `activation` describe it (`described`). Weights in float32
        are taken to float64 as they are.

    Raises
    ------
    CircuitError, ImageError
    """
    images_rng, weights_rng = np.random.default_rng(seed).spawn(2)
    data = images.load(dataset, data_dir=None if data_dir is None else Path(data_dir))
    data = images.batch(data, batch, images_rng)
    if init == "trained":
        network = trained_network(weights, data)
        return StudySetting(network, data.inputs, images.targets_of(data))
    network = initialise(
        [data.inputs.shape[1], *[width] * (depth + 1)],
        weights_rng,
        init=init,
        activation=activation,
        n_outputs=data.n_classes,
        whole_input=reads == WHOLE_IMAGE,
    )
    return StudySetting(network, data.inputs, images.targets_of(data))


def trained_network(path: str | None, data: images.Images) -> Network:
    """The network in a file, in float64, checked to be one for such images.

    Its weights are made square with orthonormal rows where a layer reads more than it has units.
    """
    if path is None:
        raise CircuitError("init trained needs a file with weights; give --weights FILE")
    with warnings.catch_warnings():  # of weights near singular: the cells show what they do
        warnings.simplefilter("ignore", IllConditioned)
        network = load_network(Path(path)).padded()
    return fitted(path, network, data, "float64")


def described(path: Path) -> dict[str, str | int | float | None]:
    """The parameters of a cell that say what is in a weights file, and a digest of its bytes, so
    that a result is never taken for one of other weights under the same name.
    """
    network = load_network(path)
    return {
        "depth": network.depth - 1,
        "width": network.widths[1],
        "activation": "+".join(sorted({unit.name for unit in network.activations})),
        "weights": str(path.resolve()),
        "weights_digest": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    }

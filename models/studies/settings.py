"""What every study starts from: a network, real images for it, and their targets.

Owns the way from the plain parameters of a cell to arrays. A process keeps the last few settings, so
that cells which differ only in feedback strength share one network and its factorised weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from circuit.network import Network, initialise
from models import images


@dataclass(frozen=True, eq=False)
class Setting:
    """A network beside a batch of images.

    Attributes
    ----------
    inputs : array (batch, pixels), in [0, 1]
    targets : array (batch, 10), one-hot
    """

    network: Network
    inputs: np.ndarray
    targets: np.ndarray


@lru_cache(maxsize=4)
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
) -> Setting:
    """The setting of a cell.

    Parameters
    ----------
    depth : hidden layers, so that L = depth + 1
    width : units of the layers 1 .. L, at most the pixels of an image and at least 10; pixels beyond
        it are auxiliary inputs

    Raises
    ------
    CircuitError, ImageError
    """
    images_rng, weights_rng = np.random.default_rng(seed).spawn(2)
    data = images.load(dataset, data_dir=None if data_dir is None else Path(data_dir))
    data = images.batch(data, batch, images_rng)
    network = initialise(
        [data.inputs.shape[1], *[width] * (depth + 1)],
        weights_rng,
        init=init,
        activation=activation,
        n_outputs=data.n_classes,
    )
    return Setting(network, data.inputs, images.one_hot(data.labels, data.n_classes))

"""The options that say which images and which network: of the main command and of the bench.

Owns the words of these options, and how the images and the network are made of them. Only the
standard library until they are, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from circuit.settings.units import INVERTIBLE
from models.command.parsing import OneLineParser, at_least, path, refuse_idle
from models.command.shared import add_data_dir, add_dataset, add_images
from training.declarations import MOST_LAYERS

if TYPE_CHECKING:
    import numpy as np

    from circuit.network import Network
    from training.images import Images

UNITS = (*INVERTIBLE, "relu", "logistic")  # those of files too


def add_images_and_network(parser: OneLineParser) -> None:
    """Which images, and the network that sees them."""
    add = parser.add_argument
    add_dataset(parser)
    add_data_dir(parser)
    add_images(parser)
    add(
        "--weights",
        type=path,
        metavar="FILE.npz",
        help="a trained network in place of a random one: a file of run_training, of circuit.save, "
        "or any with W_1, b_1, ...; see docs/your_network.md",
    )
    add(
        "--weights-activation",
        choices=UNITS,
        nargs="+",
        metavar="UNIT",
        help=f"units of --weights that do not say theirs: {', '.join(UNITS)}; one for all layers, "
        "or one per layer with the output last",
    )
    add(
        "--rows",
        choices=("orthonormal", "gaussian"),
        default="orthonormal",
        help="auxiliary units that make the weights of --weights square: orthonormal rows, "
        "orthogonal to those that are there, or Gaussian ones (default: orthonormal)",
    )
    add("--batch", type=at_least(1), default=60, help="number of images (default: 60)")
    add(
        "--depth",
        type=at_least(0, most=MOST_LAYERS),
        default=3,
        help="number of hidden layers, each as wide as the image (default: 3)",
    )
    add(
        "--widths",
        type=at_least(1),
        nargs="+",
        metavar="N",
        help="units of every layer, input first; layer 1 reads the whole image; from there on not "
        "increasing unless --feedback is pseudo-inverse; replaces --depth",
    )
    add(
        "--init",
        choices=("orthogonal", "gaussian", "unequal_rows"),
        default="orthogonal",
        help="random weights; only with orthogonal ones does GAIT-prop equal back-propagation. "
        "unequal_rows: orthogonal rows of lengths 1/2 to 2, with which GRAIT-prop does (default: "
        "orthogonal)",
    )
    add(
        "--activation",
        choices=INVERTIBLE,
        default="leaky_relu",
        help="activation function of all units (default: leaky_relu, slope 0.1)",
    )
    add(
        "--feedback",
        choices=("exact", "pseudo-inverse"),
        default="exact",
        help="what carries it down: the exact inverse of square weights, units beyond the width of "
        "the layer above being auxiliary; or the pseudo-inverse of weights of any shape, without "
        "auxiliary units (default: exact)",
    )


def refuse_idle_network(program: str, chosen: argparse.Namespace) -> None:
    """Leave with status 2 for one of these options that does nothing with the others."""
    if chosen.weights is not None:
        refuse_idle(program, chosen, {"depth", "widths", "init", "activation"}, "--weights")
    else:
        refuse_idle(program, chosen, {"weights_activation", "rows"}, "a random network")
    if chosen.feedback != "exact":
        refuse_idle(program, chosen, {"rows"}, f"--feedback {chosen.feedback}")
    if chosen.widths is not None:
        refuse_idle(program, chosen, {"depth"}, "--widths")


def batch_and_network(
    chosen: argparse.Namespace,
    images_rng: np.random.Generator,
    weights_rng: np.random.Generator,
    check: Callable[[Sequence[int]], object] = len,
) -> tuple[Images, Network]:
    """The images of the options, and the network; both are drawn.

    Parameters
    ----------
    check : given the widths of a random network before it is made; raises what it finds

    Raises `CircuitError` or `ImageError`.
    """
    from training import images

    data = images.batch(images_of(chosen), chosen.batch, images_rng)
    if chosen.weights is None:
        return data, _random_network(chosen, data, weights_rng, check)
    network = _network_of_file(chosen, data, weights_rng)
    if data.targets is None:  # whose outputs may be more than the labels that were drawn
        data = replace(data, n_classes=max(data.n_classes, network.n_outputs))
    return data, network


def images_of(chosen: argparse.Namespace) -> Images:
    """All images to draw from, with what the outputs are to be."""
    from training import images

    split = "train" if chosen.images is None else "all"  # nothing is learnt from them
    return images.load(
        chosen.dataset, split=split, data_dir=chosen.data_dir, dtype=chosen.precision
    )


def _random_network(
    chosen: argparse.Namespace,
    data: Images,
    weights_rng: np.random.Generator,
    check: Callable[[Sequence[int]], object],
) -> Network:
    from circuit.errors import CircuitError
    from circuit.initialisation.networks import initialise

    pixels = data.inputs.shape[1]
    widths = chosen.widths or [pixels] * (chosen.depth + 2)
    if widths[0] != pixels:
        raise CircuitError(
            f"widths begin with {widths[0]}, the images of {data.name} have {pixels} pixels; "
            f"begin --widths with {pixels}"
        )
    if widths[-1] < data.n_classes:
        raise CircuitError(
            f"the output layer has {widths[-1]} units for {data.n_classes} classes; "
            f"end --widths with {data.n_classes} or more"
        )
    check(widths)
    return initialise(
        widths,
        weights_rng,
        init=chosen.init,
        activation=chosen.activation,
        n_outputs=data.n_classes or None,
        auxiliary=chosen.feedback == "exact",
        whole_input=True,
        dtype=chosen.precision,
    )


def _network_of_file(
    chosen: argparse.Namespace, data: Images, weights_rng: np.random.Generator
) -> Network:
    """The network of --weights, with square weights and in the precision of the run."""
    from circuit.doors.files import load
    from training.weights_files import fitted

    units = chosen.weights_activation
    units = units[0] if units is not None and len(units) == 1 else units
    with warnings.catch_warnings():  # of ill-conditioned weights, which the report tells
        warnings.simplefilter("ignore")
        network = load(chosen.weights, units)
        if chosen.feedback == "exact":
            network = network.padded(chosen.rows, weights_rng)
    spare = data.targets is None
    return fitted(chosen.weights, network, data, chosen.precision, spare_outputs=spare)

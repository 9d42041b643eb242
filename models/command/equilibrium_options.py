"""The options of `run_equilibrium`, and the circuit with its images that they describe.

Owns the words of every option. Only the standard library until a trial is made, so that `--help`
answers at once.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuit.settings.learning import LOSSES
from circuit.settings.peers.of_lesson import PATHWAYS, READOUTS
from models.command.parsing import OneLineParser, at_least, path, refuse_idle
from models.command.shared import add_data_dir, add_dataset, add_images, add_results
from training.declarations import MOST_LAYERS

if TYPE_CHECKING:
    import numpy as np

    from circuit.dynamics import Trial
    from circuit.network import Network
    from training.images import Images

PROGRAM = "run_equilibrium"
UNITS = ("linear", "leaky_relu", "asinh", "tanh", "relu", "logistic")


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Settle a circuit with weak feedback on real images, its input clamped and its "
        "output nudged, and compare the weight changes that its equilibrium carries with those of "
        "GAIT-prop, ITP, target propagation and back-propagation.",
        epilog="Exit status: 0 the circuit settled and carries the update of the rule that its "
        "pathway stands for; 1 it did not; 2 bad input; 3 it settled, but the bound on its "
        "distance from that update is too wide, in some layer, to decide.",
    )
    add, number = parser.add_argument, at_least(None, float)
    add_dataset(parser)
    add_data_dir(parser)
    add_images(parser)
    add(
        "--targets",
        type=path,
        metavar="FILE",
        help="what the outputs are to be for the images of --images: an .npy file (images, outputs)"
        ", or an .npz file with an array targets; in place of their labels",
    )
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
        choices=("leaky_relu", "linear", "asinh", "tanh"),
        default="leaky_relu",
        help="activation function of all units (default: leaky_relu, slope 0.1)",
    )
    add(
        "--pathway",
        choices=PATHWAYS,
        default="gait",
        help="what a layer sends down: itp its rates through the inverse, gait its deviation "
        "scaled by its squared slope, grait also by the squared lengths of its rows of weights "
        "(default: gait)",
    )
    add(
        "--feedback",
        choices=("exact", "pseudo-inverse"),
        default="exact",
        help="what carries it down: the exact inverse of square weights, units beyond the width of "
        "the layer above being auxiliary; or the pseudo-inverse of weights of any shape, without "
        "auxiliary units (default: exact)",
    )
    add(
        "--gamma",
        type=number,
        nargs="+",
        default=[0.01],
        metavar="G",
        help="feedback strength, between 0 and 1: one for all layers, or one per layer with the "
        "output last (default: 0.01)",
    )
    add(
        "--nudge",
        type=number,
        metavar="G",
        help="strength with which the output is drawn to its target (default: as --gamma)",
    )
    add(
        "--loss",
        choices=LOSSES,
        default="quadratic",
        help="loss whose gradient makes the target (default: quadratic)",
    )
    add(
        "--method",
        choices=("direct", "sweep", "newton", "ode", "brian2"),
        help="how the equilibrium is found; see docs/numerics.md (default: direct, and sweep with "
        "--feedback pseudo-inverse)",
    )
    add(
        "--readout",
        choices=READOUTS,
        default="shift",
        help="what a synapse learns from: the shift of its layer from the free phase, or the "
        "mismatch of its layer with its own drive (default: shift)",
    )
    add(
        "--precision",
        choices=("float64", "float32"),
        default="float64",
        help="of all numbers but Brian2's, which are float64 (default: float64)",
    )
    add(
        "--tolerance",
        type=number,
        metavar="R",
        help="relative residual to reach in every layer of every image (default: 1e-10 in float64, "
        "4e-5 in float32)",
    )
    add("--seed", type=at_least(0), default=1, help="of images and weights (default: 1)")
    add("--no-brian2", action="store_true", help="leave out the simulation by Brian2")
    add(
        "--brian2-images",
        type=at_least(1),
        default=4,
        metavar="N",
        help="images that Brian2 simulates, the first of the batch (default: 4, or as many as "
        "wide layers leave room for)",
    )
    add_results(
        parser,
        Path("results/equilibrium"),
        "figures, equilibrium.nc and summary.json",
        quiet="print the verdict only",
    )
    return parser


def refuse_what_idles_here(chosen: argparse.Namespace) -> None:
    """Leave with status 2 for an option of this command that does nothing with the others."""
    if chosen.weights is not None:
        refuse_idle(PROGRAM, chosen, {"depth", "widths", "init", "activation"}, "--weights")
    else:
        refuse_idle(PROGRAM, chosen, {"weights_activation", "rows"}, "a random network")
    if chosen.feedback != "exact":
        refuse_idle(PROGRAM, chosen, {"rows"}, f"--feedback {chosen.feedback}")
    if chosen.images is None:
        refuse_idle(PROGRAM, chosen, {"targets"}, "a data set, which has labels")
    if chosen.widths is not None:
        refuse_idle(PROGRAM, chosen, {"depth"}, "--widths")


def make_trial(
    chosen: argparse.Namespace, images_rng: np.random.Generator, weights_rng: np.random.Generator
) -> tuple[Trial, Images]:
    """Images, network and circuit of the options; returns the trial and its images.

    Raises `CircuitError` or `ImageError`.
    """
    from circuit.dynamics import begin, build_circuit
    from training import images

    data = images.batch(_images(chosen), chosen.batch, images_rng)
    if chosen.weights is None:
        network = _random_network(chosen, data, weights_rng)
    else:
        network = _network_of_file(chosen, data, weights_rng)
        if data.targets is None:  # whose outputs may be more than the labels that were drawn
            data = replace(data, n_classes=max(data.n_classes, network.n_outputs))
    strength = chosen.gamma[0] if len(chosen.gamma) == 1 else chosen.gamma
    circuit = build_circuit(
        network, chosen.pathway, strength, nudge=chosen.nudge, feedback=chosen.feedback
    )
    targets = images.targets_of(data, chosen.precision)
    return begin(circuit, data.inputs, targets, chosen.loss), data


def _images(chosen: argparse.Namespace) -> Images:
    """All images to draw from, with what the outputs are to be."""
    from training import images
    from training.own_images import read_targets

    split = "train" if chosen.images is None else "all"  # nothing is learnt from them
    data = images.load(
        chosen.dataset, split=split, data_dir=chosen.data_dir, dtype=chosen.precision
    )
    if chosen.targets is None:
        return data
    targets = read_targets(chosen.targets, len(data.labels), chosen.precision)
    return replace(data, targets=targets, n_classes=targets.shape[1])


def _random_network(
    chosen: argparse.Namespace, data: Images, weights_rng: np.random.Generator
) -> Network:
    from circuit.errors import CircuitError
    from circuit.network import initialise

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
    if not chosen.no_brian2:
        brian2_images(chosen, widths)  # refuses before anything is computed
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
    from circuit.errors import CircuitError

    units = chosen.weights_activation
    units = units[0] if units is not None and len(units) == 1 else units
    with warnings.catch_warnings():  # of ill-conditioned weights, which the report tells
        warnings.simplefilter("ignore")
        network = load(chosen.weights, units)
        if chosen.feedback == "exact":
            network = network.padded(chosen.rows, weights_rng)
    pixels = data.inputs.shape[1]
    wrong_outputs = (
        network.n_outputs != data.n_classes
        if data.targets is not None
        else network.n_outputs < data.n_classes
    )
    if network.n_inputs != pixels or wrong_outputs:
        raise CircuitError(
            f"weights file {chosen.weights} holds a network from {network.n_inputs} inputs to "
            f"{network.n_outputs} outputs; images of {data.name} need {pixels} and "
            f"{data.n_classes}: give another --weights or --dataset"
        )
    return replace(
        network,
        weights=tuple(values.astype(chosen.precision) for values in network.weights),
        biases=tuple(values.astype(chosen.precision) for values in network.biases),
    )


def brian2_images(chosen: argparse.Namespace, widths: Sequence[int]) -> int:
    """How many images Brian2 is to simulate: 0 where not even one fits.

    Raises `CircuitError` where a number was given that does not fit.
    """
    from circuit.errors import CircuitError
    from circuit.room import MOST_SYNAPSES, images_that_fit

    exact = chosen.feedback == "exact"
    room = images_that_fit(widths, auxiliary=exact, whole_input=True)
    if "brian2_images" in chosen.given and chosen.brian2_images > room:
        remedy = f"give {room} or less" if room else "give --no-brian2, or narrower --widths"
        raise CircuitError(
            f"--brian2-images {chosen.brian2_images} is more than the {room} that fit into the "
            f"{MOST_SYNAPSES} synapses that Brian2 can carry here; {remedy}"
        )
    return min(chosen.brian2_images, chosen.batch, room)

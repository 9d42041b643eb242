"""The options of `run_equilibrium`, and the circuit with its images that they describe.

Owns the words of every option. Only the standard library until a trial is made, so that `--help`
answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuit.settings.learning import LOSSES, PATHWAYS, READOUTS
from models.command.parsing import OneLineParser, at_least
from models.command.shared import add_data_dir, add_dataset, add_results
from training.declarations import MOST_LAYERS

if TYPE_CHECKING:
    import numpy as np

    from circuit.dynamics import Trial
    from training.images import Images

PROGRAM = "run_equilibrium"


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
        help="units of every layer, input first; not increasing unless --feedback is "
        "pseudo-inverse; replaces --depth",
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


def make_trial(
    chosen: argparse.Namespace, images_rng: np.random.Generator, weights_rng: np.random.Generator
) -> tuple[Trial, Images]:
    """Images, network and circuit of the options; returns the trial and its images.

    Raises `CircuitError` or `ImageError`.
    """
    from circuit.dynamics import begin, build_circuit
    from circuit.errors import CircuitError
    from circuit.network import initialise
    from training import images

    data = images.load(chosen.dataset, data_dir=chosen.data_dir, dtype=chosen.precision)
    data = images.batch(data, chosen.batch, images_rng)
    pixels = data.inputs.shape[1]
    widths = chosen.widths or [pixels] * (chosen.depth + 2)
    if widths[0] != pixels:
        raise CircuitError(
            f"widths begin with {widths[0]}, the images of {chosen.dataset} have {pixels} pixels; "
            f"begin --widths with {pixels}"
        )
    if widths[-1] < data.n_classes:
        raise CircuitError(
            f"the output layer has {widths[-1]} units for {data.n_classes} classes; "
            f"end --widths with {data.n_classes} or more"
        )
    if not chosen.no_brian2:
        brian2_images(chosen, widths)  # refuses before anything is computed
    network = initialise(
        widths,
        weights_rng,
        init=chosen.init,
        activation=chosen.activation,
        n_outputs=data.n_classes,
        auxiliary=chosen.feedback == "exact",
        dtype=chosen.precision,
    )
    strength = chosen.gamma[0] if len(chosen.gamma) == 1 else chosen.gamma
    circuit = build_circuit(
        network, chosen.pathway, strength, nudge=chosen.nudge, feedback=chosen.feedback
    )
    targets = images.one_hot(data.labels, data.n_classes, chosen.precision)
    return begin(circuit, data.inputs, targets, chosen.loss), data


def brian2_images(chosen: argparse.Namespace, widths: Sequence[int]) -> int:
    """How many images Brian2 is to simulate: 0 where not even one fits.

    Raises `CircuitError` where a number was given that does not fit.
    """
    from circuit import brian
    from circuit.errors import CircuitError

    room = brian.images_that_fit(widths, auxiliary=chosen.feedback == "exact")
    if "brian2_images" in chosen.given and chosen.brian2_images > room:
        remedy = f"give {room} or less" if room else "give --no-brian2, or narrower --widths"
        raise CircuitError(
            f"--brian2-images {chosen.brian2_images} is more than the {room} that fit into the "
            f"{brian.MOST_SYNAPSES} synapses that Brian2 can carry here; {remedy}"
        )
    return min(chosen.brian2_images, chosen.batch, room)

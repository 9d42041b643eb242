"""The options of `run_equilibrium`, and the circuit with its images that they describe.

Owns the words of those options that no other command has. Only the standard library until a
trial is made, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuit.settings.circuits import PATHWAYS, READOUTS, WEAK
from circuit.settings.losses import LOSSES, QUADRATIC
from circuit.settings.methods import METHODS
from circuit.settings.peers.of_lesson import PATHWAY, READOUT
from models.command.network_options import (
    add_images_and_network,
    batch_and_network,
    refuse_idle_network,
)
from models.command.parsing import OneLineParser, at_least
from models.command.shared import add_results

if TYPE_CHECKING:
    import numpy as np

    from circuit.trial import Trial
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
    add_images_and_network(parser)
    add(
        "--pathway",
        choices=PATHWAYS,
        default=PATHWAY.default,
        help="what a layer sends down: itp its rates through the inverse, gait its deviation "
        "scaled by its squared slope, grait also by the squared lengths of its rows of weights "
        f"(default: {PATHWAY.default})",
    )
    add(
        "--gamma",
        type=number,
        nargs="+",
        default=[WEAK],
        metavar="G",
        help="feedback strength, between 0 and 1: one for all layers, or one per layer with the "
        f"output last (default: {WEAK:g})",
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
        default=QUADRATIC,
        help=f"loss whose gradient makes the target (default: {QUADRATIC})",
    )
    add(
        "--method",
        choices=tuple(METHODS),
        help="how the equilibrium is found; see docs/numerics.md (default: direct, and sweep with "
        "--feedback pseudo-inverse)",
    )
    add(
        "--readout",
        choices=READOUTS,
        default=READOUT.default,
        help="what a synapse learns from: the shift of its layer from the free phase, or the "
        f"mismatch of its layer with its own drive (default: {READOUT.default})",
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
    refuse_idle_network(PROGRAM, chosen)


def make_trial(
    chosen: argparse.Namespace, images_rng: np.random.Generator, weights_rng: np.random.Generator
) -> tuple[Trial, Images]:
    """Images, network and circuit of the options; returns the trial and its images.

    Raises `CircuitError` or `ImageError`.
    """
    from circuit.dynamics import begin, build_circuit
    from training import images

    def fits(widths: Sequence[int]) -> None:
        if not chosen.no_brian2:
            brian2_images(chosen, widths)  # refuses before anything is computed

    data, network = batch_and_network(chosen, images_rng, weights_rng, fits)
    strength = chosen.gamma[0] if len(chosen.gamma) == 1 else chosen.gamma
    circuit = build_circuit(
        network, chosen.pathway, strength, nudge=chosen.nudge, feedback=chosen.feedback
    )
    targets = images.targets_of(data, chosen.precision)
    return begin(circuit, data.inputs, targets, chosen.loss), data


def brian2_images(chosen: argparse.Namespace, widths: Sequence[int]) -> int:
    """How many images Brian2 is to simulate: 0 where not even one fits.

    Raises `CircuitError` where a number was given that does not fit.
    """
    from circuit.checks.room import MOST_SYNAPSES, images_that_fit
    from circuit.errors import CircuitError

    exact = chosen.feedback == "exact"
    room = images_that_fit(widths, auxiliary=exact, whole_input=True)
    if "brian2_images" in chosen.given and chosen.brian2_images > room:
        remedy = f"give {room} or less" if room else "give --no-brian2, or narrower --widths"
        raise CircuitError(
            f"--brian2-images {chosen.brian2_images} is more than the {room} that fit into the "
            f"{MOST_SYNAPSES} synapses that Brian2 can carry here; {remedy}"
        )
    return min(chosen.brian2_images, chosen.batch, room)

"""The options of `run_training`, with their values by preset.

Owns the words of every option. Standard library only, so that `--help` answers at once. Does not
own the presets' values, nor how what was given and a preset become one set of settings
(`training_settings`).
"""

from __future__ import annotations

from pathlib import Path

from models.command.parsing import Distinct, OneLineParser, at_least
from models.command.shared import DATASETS, MOST_LAYERS, add_data_dir, add_results
from training.settings import LATERAL, PRESETS, PROGRAM, RULES, preset

ACTIVATIONS = ("leaky_relu", "linear", "asinh", "tanh", "clipped_tanh")


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Train invertible networks on images by back-propagation (bp), target "
        "propagation (tp), its incremental form (itp), GAIT-prop (gait), GAIT-prop adjusted to the "
        "lengths of the rows of weights as well (grait), or the equilibrium of a circuit that "
        "settles for every batch (circuit). Writes history.nc, history.csv, "
        "weights_*.npz, summary.json, figures, and checkpoints to go on from.",
        epilog="What an option has by preset stands behind it; an option that is given wins. Exit "
        "status: 0 all epochs completed; 1 weights became singular or not finite; 2 bad input; "
        "130 interrupted.",
    )
    add = parser.add_argument
    add("--rule", choices=RULES, default="gait", help="learning rule (default: gait)")
    add(
        "--preset",
        choices=PRESETS,
        default="quick",
        help="values for what is not given. quick: a small network on digits. paper: the "
        "parameters of the paper, trained properly. reference: as the paper's public code trains, "
        "with its quirks: images in stored order, 1000 batches an epoch, Adam with beta2 0.99 and "
        "without correction of its bias, the regulariser on columns, orthogonal weights whenever "
        "lambda is 0, and the epoch chosen on the test images (default: quick)",
    )
    _add_network(parser)
    _add_learning(parser)
    _add_inverse(parser)
    add(
        "--seeds",
        type=at_least(0),
        nargs="+",
        action=Distinct,
        default=[1],
        metavar="N",
        help=_SEEDS,
    )
    add("--precision", choices=("float32", "float64"), help=f"of all numbers {_shown('precision')}")
    add(
        "--device",
        help="compute with PyTorch on this device, such as cpu or cuda (default: NumPy)",
    )
    add(
        "--measure-every",
        type=at_least(0),
        default=1,
        metavar="N",
        help="epochs between two measurements of alignment, orthogonality and condition numbers; "
        "0 for none (default: 1)",
    )
    add(
        "--checkpoint-every",
        type=at_least(0),
        default=0,
        metavar="N",
        help="batches between two checkpoints within an epoch; there is one after every epoch "
        "anyway (default: 0, no more)",
    )
    add("--resume", action="store_true", help="go on from the checkpoint in --output, if any")
    add_results(
        parser,
        Path("results/training"),
        "all files",
        quiet="no progress, only the outcome",
    )
    return parser


_SEEDS = (
    "of weights, split and order of images; several are trained together, side by side (default: 1)"
)


def _add_network(parser: OneLineParser) -> None:
    """Options of what learns, and from which images."""
    add = parser.add_argument
    add(
        "--dataset",
        choices=DATASETS,
        help=f"digits (8x8) ship with scikit-learn {_shown('dataset')}",
    )
    add_data_dir(parser)
    add(
        "--train-images",
        type=at_least(1),
        metavar="N",
        help=f"use only so many of the training images, drawn by the seed {_shown('train_images')}",
    )
    add(
        "--validation",
        type=at_least(0, float),
        metavar="F",
        help="fraction of the training images that is not learnt from but chooses the epoch; with "
        f"0 the test images choose {_shown('validation')}",
    )
    add(
        "--depth",
        type=at_least(0, most=MOST_LAYERS),
        metavar="N",
        help=f"hidden layers, each as wide as the image {_shown('depth')}",
    )
    add(
        "--widths",
        type=at_least(1),
        nargs="+",
        metavar="N",
        help="units of every layer, input first, not increasing unless with --auxiliary no; "
        "replaces --depth",
    )
    add(
        "--auxiliary",
        choices=("yes", "no"),
        help="whether units beyond the width of the layer above are read by nobody, so that all "
        "weights are square and have an exact inverse; if not, every layer reads all units below "
        "(default: yes with --inverse exact, else no)",
    )
    add(
        "--activation",
        choices=ACTIVATIONS,
        help="activation function of all units; clipped_tanh is tanh whose targets (tp, itp, gait, "
        "grait) beyond +-0.999 are clipped to there before they are inverted, which history.nc "
        f"counts {_shown('activation')}",
    )
    add(
        "--output-activation",
        choices=("same", *ACTIVATIONS),
        help="that of the output layer alone: a one-hot target, inside the range of linear units, "
        f"is at the end of that of tanh {_shown('output_activation')}",
    )
    add(
        "--init",
        choices=("orthogonal", "gaussian"),
        help=f"random weights to begin with {_shown('init')}",
    )


def _add_learning(parser: OneLineParser) -> None:
    """Options of one step, and of how many."""
    add, number = parser.add_argument, at_least(None, float)
    add(
        "--pathway",
        choices=("itp", "gait", "grait"),
        help=f"of the circuit: what a layer sends down {_shown('pathway')}",
    )
    add(
        "--readout",
        choices=("shift", "mismatch"),
        help="of the circuit: what a synapse learns from, the shift of its layer from the free "
        f"phase or its mismatch with its own drive {_shown('readout')}",
    )
    add(
        "--gamma",
        type=number,
        metavar="G",
        help=f"feedback strength, between 0 and 1 (itp, gait, grait, circuit) {_shown('gamma')}",
    )
    add(
        "--increments",
        choices=("every", "output"),
        help="where the feedback strength is: at every layer, or at the output alone and none "
        "below, as paper section 9 says is possible; the circuit then has 1/2 below (itp, gait, "
        f"grait, circuit) {_shown('increments')}",
    )
    add("--loss", choices=("quadratic", "cross_entropy"), help=f"{_shown('loss')}")
    add("--learning-rate", type=number, metavar="R", help=f"of Adam {_shown('learning_rate')}")
    add(
        "--orthogonality",
        type=number,
        metavar="L",
        help="lambda, the strength of the pull towards orthogonal weights (Eq. 23) "
        f"{_shown('orthogonality')}",
    )
    add(
        "--orthogonality-of",
        choices=("rows", "columns"),
        help="what is pulled apart: rows, as printed in the paper, or columns, as its public code "
        f"effectively does {_shown('orthogonality_of')}",
    )
    add(
        "--orthogonality-every",
        type=at_least(1),
        metavar="K",
        help=f"pull in every K-th step, K times as strongly {_shown('orthogonality_every')}",
    )
    _add_lateral(parser)
    add("--beta1", type=number, help=f"of Adam: memory of the direction {_shown('beta1')}")
    add("--beta2", type=number, help=f"of Adam: memory of its square {_shown('beta2')}")
    add("--epsilon", type=number, help=f"of Adam {_shown('epsilon')}")
    add(
        "--bias-correction",
        choices=("yes", "no"),
        help=f"of Adam: correct its means for starting from zero {_shown('bias_correction')}",
    )
    add("--batch", type=at_least(1), metavar="N", help=f"images of a step {_shown('batch')}")
    add(
        "--batches-per-epoch",
        type=at_least(1),
        metavar="N",
        help=f"at most so many steps in an epoch {_shown('batches_per_epoch')}",
    )
    add("--epochs", type=at_least(1), metavar="N", help=f"in all {_shown('epochs')}")
    add(
        "--order",
        choices=("shuffled", "stored"),
        help=f"in which an epoch takes the images {_shown('order')}",
    )


def _add_lateral(parser: OneLineParser) -> None:
    """Options of lateral inhibition in place of the regulariser."""
    add, number = parser.add_argument, at_least(None, float)
    add(
        "--orthogonality-by",
        choices=("regulariser", *LATERAL),
        help="what pulls weights towards orthogonality: Eq. 23 (regulariser), or local plasticity "
        "alone. inhibition, whitening, populations: lateral inhibition teaches the synapses, with "
        "the same lambda; between different units, also of each unit itself, or through "
        "inhibitory cells. decorrelated_drives, decorrelated_inputs: it acts on the units, or on "
        "what they read, without lambda. Each has a lambda and a lateral rate of its own by "
        f"default {_shown('orthogonality_by')}",
    )
    add(
        "--lateral-rate",
        type=number,
        metavar="R",
        help=f"rate at which lateral synapses learn, per step {_shown('lateral_rate')}",
    )
    add(
        "--lateral-during",
        choices=("spontaneous", "task"),
        help="inhibition teaches in phases of spontaneous activity, or from the images "
        f"{_shown('lateral_during')}",
    )
    add(
        "--spontaneous-samples",
        type=at_least(1),
        metavar="N",
        help=f"patterns of spontaneous activity in a step {_shown('spontaneous_samples')}",
    )


def _add_inverse(parser: OneLineParser) -> None:
    """Options of a learned inverse, and of the noise with which shifts are read."""
    add, number = parser.add_argument, at_least(None, float)
    add(
        "--inverse",
        "--feedback",
        choices=("exact", "learned", "pseudo-inverse"),
        help="what carries targets down: the exact inverse of square weights; feedback weights "
        "that start random and learn to invert them as a denoising auto-encoder (learned); or the "
        "pseudo-inverse of weights of any shape, without auxiliary units (not for bp) "
        f"{_shown('inverse')}",
    )
    add(
        "--inverse-rate",
        type=number,
        metavar="R",
        help=f"learning rate of the inverse, between 0 and 2 {_shown('inverse_rate')}",
    )
    add(
        "--inverse-noise",
        type=number,
        metavar="S",
        help="noise that the inverse learns from, in units of the rates' root mean square "
        f"{_shown('inverse_noise')}",
    )
    add(
        "--inverse-aim",
        choices=("noisy", "clean"),
        help="what the inverse learns to reconstruct: rates with their noise (Lee et al. 2015) or "
        f"without it (denoising; Bengio 2014) {_shown('inverse_aim')}",
    )
    add(
        "--inverse-steps",
        type=at_least(0),
        metavar="N",
        help="steps of the inverse for each step of the network, from the same images; 0: it "
        f"learns only beforehand {_shown('inverse_steps')}",
    )
    add(
        "--inverse-before",
        type=at_least(0),
        metavar="N",
        help="batches at the beginning from which the inverse learns alone "
        f"{_shown('inverse_before')}",
    )
    add(
        "--inverse-order",
        choices=("first", "simultaneous", "alternating"),
        help="when the inverse learns: first in every step, and what it has learnt carries the "
        "targets; simultaneous with the network, so that targets go through what it was; "
        f"alternating with it, in blocks of steps {_shown('inverse_order')}",
    )
    add(
        "--inverse-block",
        type=at_least(1),
        metavar="N",
        help="batches from which the inverse learns alone, and then as many from which the network "
        f"does {_shown('inverse_block')}",
    )
    add(
        "--correction",
        choices=("yes", "no"),
        help="difference correction: a learned inverse sends down deviations alone, so that its "
        f"errors of reconstruction cancel {_shown('correction')}",
    )
    add(
        "--rate-noise",
        type=number,
        metavar="S",
        help="standard deviation with which every shift is read, in units of the rates "
        f"{_shown('rate_noise')}",
    )


def _shown(name: str) -> str:
    """The values of an option by preset, for its help."""
    words = {}
    for one in PRESETS:
        values = dict.fromkeys(_word(preset(one, rule)[name]) for rule in RULES)
        words[one] = ("by rule " if len(values) > 1 else "") + " or ".join(values)
    if len(set(words.values())) == 1:
        return f"(default: {words['quick']})"
    return "(" + "; ".join(f"{one}: {values}" for one, values in words.items()) + ")"


def _word(value: object) -> str:
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

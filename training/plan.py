"""The plan of a training run, and the images that it learns from, chooses by and is tested on.

Owns what decides a run (`Plan`), the split of the training images, the initial networks, and the
library and device that arrays lie in.

Every seed has three generators of its own: of weights, of the split, of the order of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.network import Network
from circuit.numerics.arrays import Array, namespace
from circuit.peers.table import TABLE, own_settings
from circuit.settings.declaration import Values, meant
from circuit.settings.learned_inverse import EXACT, LEARNED
from circuit.settings.learning import Adam
from circuit.settings.pull import MECHANISMS, REGULARISER
from circuit.settings.units import CLIPPED
from circuit.units.table import activation
from training.declarations import ComputingSettings, ImageSettings, NetworkSettings
from training.images import Images, targets_of

TRAIN_PART = 10000  # images at most on which the training accuracy of an epoch is found
PROBE = 200  # images at most on which the alignment with back-propagation is measured
PURPOSES = ("weights", "split", "order")


@dataclass(frozen=True)
class Plan(NetworkSettings, ImageSettings, ComputingSettings):
    """Everything that decides how a training run comes out, apart from the images themselves.

    Attributes
    ----------
    lesson : one step of learning
    widths : N_0 .. N_L
    whole_input : whether layer 1 reads all pixels even where units are auxiliary, or the first N_1
    others : see `NetworkSettings`, `ImageSettings`, `ComputingSettings`

    Raises
    ------
    CircuitError
    """

    lesson: Lesson
    widths: tuple[int, ...]
    whole_input: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise CircuitError(f"seeds {self.seeds} are none or not all different; give each once")
        if self.lesson.rule == "circuit" and set(CLIPPED) & set(self.activations):
            raise CircuitError(
                "a circuit inverts its units exactly, clipped_tanh does not; use tanh"
            )
        inverted = self.lesson.inverse is None and self.lesson.of_table.needs_inverse
        first = 0 if self.lesson.rule == "circuit" else 1  # of the widths that have to be equal
        if inverted and not self.auxiliary and len({*self.widths[first:]}) > 1:
            raise CircuitError(
                f"widths {self.widths} without auxiliary units have no exact inverse; use a "
                "learned inverse (--inverse learned) or the pseudo-inverse (--feedback "
                "pseudo-inverse), or --auxiliary yes"
            )

    @property
    def activations(self) -> tuple[str, ...]:
        """The names of the activation functions of the layers 1 .. L."""
        same = self.output_activation == "same"
        last = self.activation if same else self.output_activation
        return (self.activation,) * (len(self.widths) - 2) + (last,)

    @property
    def stacked(self) -> bool:
        """Whether arrays have a leading axis of networks."""
        return len(self.seeds) > 1


def plan_of(settings: Values, pixels: int) -> Plan:
    """The plan that settings, by option name, describe for images of so many pixels.

    Raises `CircuitError`.
    """
    widths = settings["widths"] or [pixels] * (settings["depth"] + 2)
    return Plan(lesson_of(settings), tuple(widths), **meant(Plan, settings))


def lesson_of(settings: Values) -> Lesson:
    """The lesson that settings, by option name, describe. Raises `CircuitError`."""
    inverse: LearnedInverse | PseudoInverse | None = None
    if settings["inverse"] == LEARNED:
        inverse = LearnedInverse(**meant(LearnedInverse, settings))
    elif settings["inverse"] != EXACT:
        inverse = PseudoInverse()
    adam, rule = Adam(**meant(Adam, settings)), settings["rule"]
    own = {key: one.meant(settings[one.option]) for key, one in own_settings(rule).items()}
    return Lesson(
        **meant(Lesson, settings),
        adam=adam,
        pull=_pull_of(settings),
        inverse=inverse,
        settings=None if TABLE[rule].is_paper else TABLE[rule].settings()(**own),
    )


def _pull_of(settings: Values) -> Regulariser | Inhibition | Decorrelation | None:
    by = settings["orthogonality_by"]
    if by == REGULARISER:
        pulls = settings["orthogonality"] != 0
        return Regulariser(**meant(Regulariser, settings)) if pulls else None
    if by in MECHANISMS:
        return Inhibition(**meant(Inhibition, settings))
    return Decorrelation(**meant(Decorrelation, settings))


@dataclass(frozen=True, eq=False)
class Material:
    """Images in the library and on the device of the run, and which of them serve what.

    Attributes
    ----------
    inputs, targets : arrays (n_images, pixels), (n_images, classes), of the training split
    test_inputs, test_targets : of the test split
    learning : array (seeds, n), rows to learn from, in the order in which they are stored
    validation : array (seeds, n), rows to choose by; n = 0 where the test images choose
    part : array (seeds, n), rows of `learning` whose accuracy is found after every epoch
    probe : array (seeds, n), rows of `learning` on which the alignment is measured
    """

    inputs: Array
    targets: Array
    test_inputs: Array
    test_targets: Array
    learning: np.ndarray
    validation: np.ndarray
    part: np.ndarray
    probe: np.ndarray


def prepare(plan: Plan, train: Images, test: Images) -> Material:
    """The images of a run, split as the seeds want it.

    Raises
    ------
    CircuitError
        For widths that do not fit the images, or fewer images than are needed.
    """
    pixels, total = train.inputs.shape[1], len(train.labels)
    if plan.widths[0] != pixels:
        raise CircuitError(
            f"widths begin with {plan.widths[0]}, the images of {train.name} have {pixels} pixels; "
            f"begin --widths with {pixels}"
        )
    if plan.widths[-1] < train.n_classes:
        raise CircuitError(
            f"the output layer has {plan.widths[-1]} units for {train.n_classes} classes; "
            f"end --widths with {train.n_classes} or more"
        )
    wanted = total if plan.train_images is None else plan.train_images
    if wanted > total:
        raise CircuitError(
            f"{wanted} training images were asked for and {train.name} has {total}; use fewer"
        )
    held_out = round(plan.validation * wanted)
    if (held_out < 1 and plan.validation > 0) or wanted - held_out < plan.batch:
        raise CircuitError(
            f"of {wanted} training images {held_out} are for validation, {wanted - held_out} to "
            f"learn from in batches of {plan.batch}; use more images, or change validation or batch"
        )
    rows = np.stack([generator(seed, "split").permutation(total)[:wanted] for seed in plan.seeds])
    learning = rows[:, held_out:]
    targets, test_targets = (targets_of(images, plan.precision) for images in (train, test))
    for what, one, other in (
        ("pixels", train.inputs, test.inputs),
        ("outputs", targets, test_targets),
    ):
        if one.shape[1] != other.shape[1]:
            raise CircuitError(
                f"training images of {train.name} have {one.shape[1]} {what}, test images "
                f"{other.shape[1]}; give both as many"
            )
    inputs, targets, test_inputs, test_targets = placed(
        [train.inputs, targets, test.inputs, test_targets], plan
    )
    return Material(
        inputs,
        targets,
        test_inputs,
        test_targets,
        learning=np.sort(learning, axis=1),
        validation=rows[:, :held_out],
        part=learning[:, :TRAIN_PART],
        probe=learning[:, :PROBE],
    )


def batches_of_an_epoch(plan: Plan, material: Material) -> int:
    """Steps of one epoch; the last has fewer images where the batch does not divide them."""
    batches = -(-material.learning.shape[1] // plan.batch)
    return batches if plan.batches_per_epoch is None else min(batches, plan.batches_per_epoch)


def initial_network(plan: Plan, n_outputs: int) -> Network:
    """The networks before learning, each from its own seed, on the device of the run.

    Raises `CircuitError`.
    """
    networks = [
        initialise(
            plan.widths,
            generator(seed, "weights"),
            init=plan.init,
            activation=tuple(map(activation, plan.activations)),
            n_outputs=n_outputs,
            auxiliary=plan.auxiliary,
            whole_input=plan.whole_input,
            dtype=plan.precision,
        )
        for seed in plan.seeds
    ]
    if plan.last_alike:
        networks = [_with_last_alike(network) for network in networks]
    weights, biases = networks[0].weights, networks[0].biases
    if plan.stacked:
        weights = tuple(map(np.stack, zip(*(one.weights for one in networks), strict=True)))
        biases = tuple(map(np.stack, zip(*(one.biases for one in networks), strict=True)))
    return replace(networks[0], weights=placed(weights, plan), biases=placed(biases, plan))


def _with_last_alike(network: Network) -> Network:
    """The network with the weights of its last hidden layer in its output layer too.

    Raises `CircuitError` where these are not of one shape.
    """
    shapes = [one.shape for one in network.weights]
    if len(set(shapes[-2:])) > 1 or len(shapes) < 2:
        raise CircuitError(
            f"weights of shapes {shapes[-2:]} cannot be alike; use --last-weights apart, or layers "
            "of equal width"
        )
    return replace(network, weights=(*network.weights[:-1], network.weights[-2].copy()))


def placed(arrays: Sequence[np.ndarray], plan: Plan) -> tuple[Array, ...]:
    """NumPy arrays in the library and on the device of the run, contiguous."""
    arrays = [np.asarray(array, order="C") for array in arrays]
    if plan.device is None:
        return tuple(arrays)
    import torch

    return tuple(torch.asarray(array, device=plan.device) for array in arrays)


def taken(plan: Plan, array: Array, rows: np.ndarray) -> Array:
    """Rows `(seeds, n)` of an array `(images, columns)`, as `(seeds, n, columns)`; without the
    leading axis for a run of one network.
    """
    xp, shape = namespace(array), rows.shape if plan.stacked else rows.shape[1:]
    (flat,) = placed([rows.reshape(-1)], plan)
    return xp.reshape(xp.take(array, flat, axis=0), (*shape, array.shape[-1]))


def single(network: Network, plan: Plan, index: int) -> Network:
    """One network of the stack."""
    if not plan.stacked:
        return network
    return replace(
        network,
        weights=tuple(array[index] for array in network.weights),
        biases=tuple(array[index] for array in network.biases),
    )


def alone(plan: Plan, index: int) -> Plan:
    """The plan of one network of the stack."""
    return replace(plan, seeds=plan.seeds[index : index + 1])


def share(material: Material, index: int) -> Material:
    """The material of one network of the stack."""
    own = slice(index, index + 1)
    return replace(
        material,
        learning=material.learning[own],
        validation=material.validation[own],
        part=material.part[own],
        probe=material.probe[own],
    )


def generator(seed: int, purpose: str) -> np.random.Generator:
    """The generator of a seed for one of `PURPOSES`, independent of the others."""
    return np.random.default_rng(seed).spawn(len(PURPOSES))[PURPOSES.index(purpose)]

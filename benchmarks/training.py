"""How long a step of learning takes, each figure beside PyTorch's in the same run.

    python -m benchmarks.training [--quick] [--data-dir DIR] [--output FILE.json]

Owns the command and its contestants. Each has a process of its own, so that no thread pool gets in
another's way, and they take turns of some steps in a row. All learn the same: float32, batches of
60 images, Adam with a learning rate of 1e-4 (TP 1e-5).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import begun, keep, options, parsed, show
from benchmarks.others import missing
from benchmarks.tables import Section, ratios
from benchmarks.timing import RoundTimes, beside_each_other
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.learning.step import begin_learning, learn
from circuit.settings.learning import Adam
from training.images import DATA_DIR_VARIABLE, ImageError, load, one_hot

PYTORCH, OWN = "PyTorch, BP", "bp"
STACKED = 4


@dataclass(frozen=True)
class TrainingSizes:
    """How large the network is and how long it is timed.

    Attributes
    ----------
    steps : in a turn; a multiple of all intervals of the regulariser
    before : steps of each contestant that do not count
    data_dir : where mnist.npz is; made-up images if None
    """

    width: int = 784
    depth: int = 5
    batch: int = 60
    steps: int = 20
    before: int = 100
    rounds: int = 8
    data_dir: Path | None = None


QUICK = TrainingSizes(width=16, depth=3, batch=12, steps=20, before=2, rounds=2)


@dataclass(frozen=True)
class Contestant:
    """One way to make a step.

    Attributes
    ----------
    networks : that learn at once; 1 for a network without a leading axis
    library : numpy or torch, for our own steps
    activation, precision : of the network
    """

    lesson: Lesson
    networks: int = 1
    library: str = "numpy"
    activation: str = "leaky_relu"
    precision: str = "float32"


def _with_regulariser(every: int) -> Contestant:
    return Contestant(Lesson("gait", pull=Regulariser(0.1, every)))


CONTESTANTS: dict[str, Contestant | None] = {
    PYTORCH: None,
    OWN: Contestant(Lesson(OWN)),
    "gait": Contestant(Lesson("gait")),
    "grait": Contestant(Lesson("grait")),
    "itp": Contestant(Lesson("itp")),
    "tp": Contestant(Lesson("tp", adam=Adam(1e-5))),
    "circuit": Contestant(Lesson("circuit")),
    "gait, learned inverse": Contestant(Lesson("gait", inverse=LearnedInverse())),
    "gait, lambda 0.1": _with_regulariser(1),
    "gait, lambda 0.1 every 4": _with_regulariser(4),
    "gait, lambda 0.1 every 10": _with_regulariser(10),
    "gait, PyTorch tensors": Contestant(Lesson("gait"), library="torch"),
    f"gait, {STACKED} networks": Contestant(Lesson("gait"), networks=STACKED),
}


# --- what is learnt ---


def images(sizes: TrainingSizes) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, width) and one-hot targets (n, classes): MNIST where it is given, or ten random
    patterns, mostly dark as digits are, under noise.
    """
    if sizes.data_dir is not None:
        mnist = load("mnist", data_dir=sizes.data_dir, dtype="float32")
        return mnist.inputs, one_hot(mnist.labels, 10, "float32")
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 10, 6000)
    patterns = rng.random((10, sizes.width)) * (rng.random((10, sizes.width)) < 0.25)
    noise = rng.random((len(labels), sizes.width)) * (rng.random((len(labels), 1)) < 0.5)
    inputs = np.where(patterns[labels] > 0, 0.5 * (patterns[labels] + noise), 0)
    return inputs.astype("float32"), one_hot(labels, 10, "float32")


def batches(
    sizes: TrainingSizes, networks: int, n_outputs: int
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Draws one batch after the other, other images for every network of a stack."""
    inputs, targets = images(sizes)
    rng, shape = np.random.default_rng(0), (networks, sizes.batch) if networks > 1 else sizes.batch

    def draw() -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(inputs), shape)
        return inputs[rows], np.ascontiguousarray(targets[rows][..., :n_outputs])

    return draw


def weights_and_biases(
    sizes: TrainingSizes,
    networks: int,
    activation: str = "leaky_relu",
    precision: str = "float32",
) -> Any:
    """An orthogonal network, or several stacked."""
    shape, n_outputs = [sizes.width] * (sizes.depth + 1), min(10, sizes.width)
    made = [
        initialise(
            shape,
            np.random.default_rng(seed),
            activation=activation,
            n_outputs=n_outputs,
            dtype=precision,
        )
        for seed in range(networks)
    ]
    if networks == 1:
        return made[0]
    stack = [
        tuple(np.stack(arrays) for arrays in zip(*(getattr(n, name) for n in made), strict=True))
        for name in ("weights", "biases")
    ]
    return type(made[0])(*stack, made[0].activations, made[0].n_inputs, n_outputs)


# --- contestants; each function runs in a process of its own ---


def prepare_own(sizes: TrainingSizes, contestant: Contestant) -> tuple[Callable[[], object], int]:
    """A turn of our own steps; and the megabytes that the process has needed so far."""
    looks = contestant.activation, contestant.precision
    network = weights_and_biases(sizes, contestant.networks, *looks)
    draw = batches(sizes, contestant.networks, network.n_outputs)
    convert: Callable[[np.ndarray], Any] = partial(np.asarray, dtype=contestant.precision)
    if contestant.library == "torch":
        import torch

        convert = torch.from_numpy
        arrays = (tuple(map(convert, these)) for these in (network.weights, network.biases))
        network = type(network)(*arrays, network.activations, network.n_inputs, network.n_outputs)
    shape = contestant.networks if contestant.networks > 1 else ()
    keys = np.arange(contestant.networks).reshape(shape)
    if contestant.library == "torch":
        keys = convert(keys)
    learner = begin_learning(network, contestant.lesson, keys)

    def step() -> None:
        nonlocal learner
        learner, _ = learn(learner, contestant.lesson, *map(convert, draw()))

    return _turn(step, sizes), _megabytes()


def prepare_pytorch(sizes: TrainingSizes) -> tuple[Callable[[], object], int]:
    """The same in PyTorch alone: autograd and torch.optim.Adam."""
    import torch

    network = weights_and_biases(sizes, 1)
    draw = batches(sizes, 1, network.n_outputs)
    weights = [torch.nn.Parameter(torch.from_numpy(w)) for w in network.weights]
    biases = [torch.nn.Parameter(torch.from_numpy(b)) for b in network.biases]
    optimiser = torch.optim.Adam(weights + biases, lr=1e-4)

    def step() -> None:
        rates, targets = map(torch.from_numpy, draw())
        for w, b in zip(weights, biases, strict=True):
            rates = torch.nn.functional.leaky_relu(torch.nn.functional.linear(rates, w, b), 0.1)
        error = rates[:, : network.n_outputs] - targets
        optimiser.zero_grad()
        (0.5 * (error**2).sum(1).mean()).backward()
        optimiser.step()

    return _turn(step, sizes), _megabytes()


def _turn(step: Callable[[], None], sizes: TrainingSizes) -> Callable[[], None]:
    """Some steps in a row, after those that do not count."""

    def steps(number: int) -> None:
        for _ in range(number):
            step()

    steps(sizes.before)
    return lambda: steps(sizes.steps)


def _megabytes() -> int:
    """Largest resident memory of this process, imports and images included."""
    import resource  # not on Windows

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes // (1024 if sys.platform != "darwin" else 1024**2)


# --- the table ---


def compare(sizes: TrainingSizes) -> Section:
    """All contestants in turns."""
    section, there = Section("A step of learning"), {}
    for name, contestant in CONTESTANTS.items():
        needs_torch = contestant is None or contestant.library == "torch"
        if needs_torch and missing("torch"):
            section.remarks.append(f"{name}: PyTorch is not installed.")
            continue
        there[name] = (
            (prepare_pytorch, sizes) if contestant is None else (prepare_own, sizes, contestant)
        )
    timings, facts = beside_each_other(there, sizes.rounds)
    for name, timing in timings.items():
        contestant = CONTESTANTS[name]
        made = sizes.steps * (1 if contestant is None else contestant.networks)
        each = RoundTimes(tuple(seconds / made for seconds in timing.seconds))
        row: dict[str, Any] = {"a step of": name, "ms": 1e3 * each.median}
        row["quartiles"] = [1e3 * value for value in each.quartiles]
        base = RoundTimes(tuple(seconds / sizes.steps for seconds in timings[OWN].seconds))
        row |= {f"{key} to bp": value for key, value in ratios(each, base).items()}
        section.rows.append(row | {"memory, MB": facts[name]})
    source = "made-up images" if sizes.data_dir is None else "MNIST"
    section.remarks.append(
        f"{sizes.width} units x {sizes.depth} layers, batch {sizes.batch}, {source}. A turn is "
        f"{sizes.steps} steps in a row, after {sizes.before} that do not count; the mean step of a "
        "turn is what medians, quartiles and ratios are taken of. The stack's times are those of "
        "one of its networks. Memory is the largest of the whole process."
    )
    return section


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = options("training", __doc__, "a tiny network")
    parser.add_argument(
        "--data-dir",
        type=Path,
        help=f"folder with mnist.npz; made-up images without it, whatever {DATA_DIR_VARIABLE} says",
    )
    chosen = parsed(parser, arguments)
    sizes = QUICK if chosen.quick else TrainingSizes(data_dir=chosen.data_dir)
    if chosen.data_dir is not None and not chosen.quick:
        try:
            images(sizes)
        except ImageError as error:
            parser.error(str(error))
    results = begun()
    section = compare(sizes)
    show(section)
    keep({**results, "rows": section.rows}, chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

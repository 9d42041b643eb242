"""How long a step of learning takes, each figure beside PyTorch's in the same run.

    python -m benchmarks.training [--quick]

Owns the command and its contestants. Weights are float32, Adam's moments included; every contestant
learns from its own images, one batch a round, all in turns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from benchmarks.equilibrium import machine, versions
from benchmarks.others import missing
from benchmarks.tables import columns, ratios, table
from benchmarks.timing import Turn, take_turns, timed
from circuit.learning import Lesson, begin_learning, learn
from circuit.network import Network, initialise

LESSONS = {
    "bp": Lesson(rule="bp"),
    "gait": Lesson(rule="gait"),
    "itp": Lesson(rule="itp"),
    "tp": Lesson(rule="tp", learning_rate=1e-5),
    "circuit": Lesson(rule="circuit"),
    "gait, lambda 0.1": Lesson(rule="gait", orthogonality=0.1),
    "gait, lambda 0.1 every 4": Lesson(rule="gait", orthogonality=0.1, orthogonality_every=4),
    "gait, lambda 0.1 every 10": Lesson(rule="gait", orthogonality=0.1, orthogonality_every=10),
}


def own_turn(network: Network, lesson: Lesson, inputs: np.ndarray, targets: np.ndarray) -> Turn:
    """One step of ours a turn, on the next batch."""
    learner, batches = begin_learning(network), count()

    def step() -> None:
        nonlocal learner
        i = next(batches) % len(inputs)
        learner, _ = learn(learner, lesson, inputs[i], targets[i])

    return timed(step)


def torch_turn(network: Network, inputs: np.ndarray, targets: np.ndarray) -> Turn:
    """One step of back-propagation and torch.optim.Adam a turn."""
    import torch

    weights = [torch.nn.Parameter(torch.tensor(w)) for w in network.weights]
    biases = [torch.nn.Parameter(torch.tensor(b)) for b in network.biases]
    optimiser = torch.optim.Adam(weights + biases, lr=1e-4)
    images, wanted = torch.tensor(inputs), torch.tensor(targets)
    batches = count()

    def step() -> None:
        i = next(batches) % len(inputs)
        rates = images[i]
        for w, b in zip(weights, biases, strict=True):
            rates = torch.nn.functional.leaky_relu(rates @ w.T + b, 0.1)
        error = rates[:, : network.n_outputs] - wanted[i]
        optimiser.zero_grad()
        (0.5 * (error**2).sum(1).mean()).backward()
        optimiser.step()

    return timed(step)


def rows(width: int, depth: int, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of every contestant, and the ratio to our own back-propagation."""
    rng = np.random.default_rng(0)
    n_outputs = min(10, width)
    network = initialise([width] * (depth + 1), rng, n_outputs=n_outputs, dtype="float32")
    inputs = rng.random((40, batch, width)).astype("float32")
    targets = np.eye(n_outputs, dtype="float32")[rng.integers(0, n_outputs, (40, batch))]
    turns: dict[str, Turn] = {}
    if missing("torch") is None:
        turns["PyTorch, BP"] = torch_turn(network, inputs, targets)
    turns |= {name: own_turn(network, le, inputs, targets) for name, le in LESSONS.items()}
    timings = take_turns(turns, rounds)
    found = []
    for name, timing in timings.items():
        mean = 1e3 * float(np.mean(timing.seconds))
        row = {"a step of": name, **columns(timing), "mean ms": mean}
        found.append(row | ratios(timing, timings["bp"]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="a tiny network: does it run at all?")
    chosen = parser.parse_args(arguments)
    sizes: Callable[[], list[dict[str, Any]]] = (
        (lambda: rows(16, 2, 4, 2)) if chosen.quick else (lambda: rows(784, 5, 60, 40))
    )
    print(f"{machine()}\n{versions()}\n\n{table(sizes())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

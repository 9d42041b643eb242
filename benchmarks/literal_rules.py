"""Predictive coding and equilibrium propagation as their authors compute them, in PyTorch.

Predictive coding: rates start at the forward pass and go down the gradient of the energy, which
autograd finds, all layers at once and by steps of one length (Whittington and Bogacz 2017; so do
the libraries of predictive coding). Equilibrium propagation: all layers at once take what the
derivative of the primitive function asks of them (Laborieux et al. 2021, whose code this follows),
from the forward pass to the free state, and from there to the two nudged ones.

Owns both, how many steps they need for an error of the weight change, and section B, which holds
ours against them. They are what these rules are, and nothing of `circuit.peers` is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.others import missing
from benchmarks.tables import Section, columns, ratios
from benchmarks.timing import beside_each_other
from benchmarks.training import TrainingSizes, batches, weights_and_biases
from circuit.network import Network, forward
from circuit.peers.reading import signal_updates
from circuit.peers.table import TABLE

# of the weight change of every layer, relative; differences of rates in float64 hold no 1e-6 of
# what gamma^4 beta leaves of a signal in layer 1 of five
ERROR = {"pc": 1e-6, "ep": 1e-3}
LAMBDA, GAMMA, BETA = 0.1, 0.01, 0.1
STEPS = (0.4, 0.6, 0.2)  # lengths that are tried
MOST = 600  # steps
OWN = {"pc": {"strength": LAMBDA}, "ep": {"gamma": GAMMA, "beta": BETA}}
TOLERANCES = tuple(10.0**-k for k in range(1, 12))  # of ours, the loosest that does
EXACT = 1e-12

Changes = Sequence[np.ndarray]  # of the weights of all layers
Found = tuple[int, float, float]  # steps, their length, and the error that they leave


def problem(sizes: TrainingSizes) -> tuple[Network, np.ndarray, np.ndarray]:
    """A network of tanh units in float64, images, and targets."""
    network = weights_and_biases(sizes, 1, "tanh", "float64")
    inputs, targets = batches(sizes, 1, network.n_outputs)()
    return network, inputs.astype("float64"), targets.astype("float64")


def own_changes(rule: str, network: Network, inputs: Any, targets: Any, **own: Any) -> Changes:
    """Of ours, from the images on."""
    line, activity = TABLE[rule], forward(network, inputs)
    settings = line.settings()(**own)
    signal = line.rule().signal(network, activity, targets, "quadratic", settings, {}, 0)
    return [one.weights for one in signal_updates(network, signal)]


def error_of(found: Changes, truth: Changes) -> float:
    """|change - true change| over |true change| of the worst layer."""
    norm = np.linalg.norm
    return max(float(norm(a - b) / norm(b)) for a, b in zip(found, truth, strict=True))


class Coding:
    """Predictive coding in PyTorch. Outputs beyond those with an error are left out."""

    def __init__(self, network: Network, inputs: Any, targets: Any) -> None:
        import torch

        self.torch, n = torch, network.n_outputs
        weights = [*network.weights[:-1], network.weights[-1][:n]]
        self.weights = [torch.tensor(w, requires_grad=True) for w in weights]
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)

    def changes(self, step: float, steps: int) -> Changes:
        """Of the weights, after so many steps of the rates."""
        return self.changes_at(next(islice(self.course(step), steps - 1, None)))

    def course(self, step: float) -> Iterator[Sequence[Any]]:
        """The rates after one step, two, and so on."""
        torch = self.torch
        with torch.no_grad():
            rates, x = [], self.inputs
            for w in self.weights[:-1]:
                x = torch.tanh(x @ w.T)
                rates.append(x)
        while True:
            rates = [z.detach().requires_grad_() for z in rates]
            slopes = torch.autograd.grad(self.energy(rates), rates)
            rates = [z.detach() - step * slope for z, slope in zip(rates, slopes, strict=True)]
            yield rates

    def changes_at(self, rates: Sequence[Any]) -> Changes:
        """Of the weights, at those rates."""
        slopes = self.torch.autograd.grad(self.energy(rates), self.weights)
        return [-slope.numpy() / (LAMBDA * len(self.inputs)) for slope in slopes]

    def fewest(self, truth: Changes) -> Found:
        """Steps that do, and of which length."""
        best: Found = (MOST + 1, 1.0, np.inf)
        for step in STEPS:
            for count, rates in enumerate(islice(self.course(step), best[0] - 1), 1):
                if (error := error_of(self.changes_at(rates), truth)) <= ERROR["pc"]:
                    best = count, step, error
                    break
        return best

    def energy(self, rates: Sequence[Any]) -> Any:
        """1/2 sum |z_l - f(W_l z_{l-1})|^2 + lambda / 2 |t - y_L|^2, of all images."""
        below = [self.inputs, *rates]
        made = [self.torch.tanh(x @ w.T) for x, w in zip(below, self.weights, strict=True)]
        parts = [((z - f) ** 2).sum() for z, f in zip(rates, made, strict=False)]
        return (sum(parts) + LAMBDA * ((self.targets - made[-1]) ** 2).sum()) / 2


class Propagation:
    """Equilibrium propagation in PyTorch, nudged by a spring to both sides."""

    def __init__(self, network: Network, inputs: Any, targets: Any) -> None:
        import torch

        self.torch, self.n = torch, network.n_outputs
        self.weights = [torch.tensor(w, requires_grad=True) for w in network.weights]
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)

    def changes(self, step: float, steps: int) -> Changes:
        """Of the weights, after so many steps of each of the three phases; `step` is 1."""
        torch = self.torch
        with torch.no_grad():
            rates, x = [], self.inputs
            for w in self.weights:
                x = torch.tanh(x @ w.T)
                rates.append(x)
        free = self._settled(rates, 0.0, steps)
        products = [
            torch.autograd.grad(self.primitive(self._settled(free, beta, steps)), self.weights)
            for beta in (BETA, -BETA)
        ]
        depth, size = len(self.weights), 2 * BETA * len(self.inputs)
        return [
            ((up - down) / (size * GAMMA**depth)).numpy()
            for up, down in zip(*products, strict=True)
        ]

    def fewest(self, truth: Changes) -> Found:
        """As `Coding.fewest`."""
        for count in range(1, MOST + 1):
            if (error := error_of(self.changes(1.0, count), truth)) <= ERROR["ep"]:
                return count, 1.0, error
        return MOST + 1, 1.0, np.inf

    def _settled(self, rates: Sequence[Any], beta: float, steps: int) -> Sequence[Any]:
        torch = self.torch
        for _ in range(steps):
            rates = [s.detach().requires_grad_() for s in rates]
            asked = torch.autograd.grad(self.primitive(rates), rates)
            drives = [one / GAMMA ** (i + 1) for i, one in enumerate(asked)]
            push = torch.zeros_like(drives[-1])
            push[:, : self.n] = beta * (self.targets - rates[-1].detach()[:, : self.n])
            rates = [torch.tanh(h) for h in (*drives[:-1], drives[-1] + push)]
        return [s.detach() for s in rates]

    def primitive(self, rates: Sequence[Any]) -> Any:
        """Sum of gamma^l s_l . W_l s_{l-1}, of all images."""
        below = [self.inputs, *rates[:-1]]
        terms = zip(rates, below, self.weights, strict=True)
        return sum(GAMMA ** (i + 1) * (s * (x @ w.T)).sum() for i, (s, x, w) in enumerate(terms))


LITERAL: dict[str, Any] = {"pc": Coding, "ep": Propagation}


# --- contestants; each function runs in a process of its own ---


def prepare_own(sizes: TrainingSizes, rule: str) -> tuple[Callable[[], object], dict[str, Any]]:
    """Ours, from the images to the weight changes, with the loosest tolerance that does."""
    given = problem(sizes)
    truth = own_changes(rule, *given, **OWN[rule], tolerance=EXACT)
    for tolerance in TOLERANCES:
        run = partial(own_changes, rule, *given, **OWN[rule], tolerance=tolerance)
        if (error := error_of(run(), truth)) <= ERROR[rule]:
            return run, {"error": error, "tolerance": tolerance}
    raise RuntimeError(f"no error of {ERROR[rule]:g} at a tolerance of {TOLERANCES[-1]:g}")


def prepare_pytorch(sizes: TrainingSizes, rule: str) -> tuple[Callable[[], object], dict[str, Any]]:
    """The same in PyTorch: the fewest steps, of the length that needs fewest, to the same error."""
    network, inputs, targets = problem(sizes)
    truth = own_changes(rule, network, inputs, targets, **OWN[rule], tolerance=EXACT)
    if rule == "pc":
        truth = [*truth[:-1], truth[-1][: network.n_outputs]]
    literal = LITERAL[rule](network, inputs, targets)
    count, step, error = literal.fewest(truth)
    if count > MOST:
        raise RuntimeError(f"no error of {ERROR[rule]:g} in {MOST} steps")
    return partial(literal.changes, step, count), {"error": error, "steps": count, "of": step}


def beside_pytorch(sizes: TrainingSizes) -> Section:
    """Section B."""
    section = Section("B. Weight changes by predictive coding and equilibrium propagation")
    if absent := missing("torch"):
        section.remarks.append(f"Not installed: {absent}.")
        return section
    timings, facts = beside_each_other(
        {
            (rule, who): (how, sizes, rule)
            for rule in LITERAL
            for who, how in (("own", prepare_own), ("PyTorch, literally", prepare_pytorch))
        },
        min(sizes.rounds, 5),
    )
    for (rule, who), timing in timings.items():
        over = ratios(timing, timings[rule, "own"])
        row = {"rule": rule, "by": who, **columns(timing), **over}
        section.rows.append(row | facts[rule, who])
    section.remarks.append(
        f"{sizes.width} tanh units x {sizes.depth} layers, batch {sizes.batch}, float64; from the "
        "images to the changes of all weights, with a relative error of at most "
        f"{ERROR['pc']:g} (ep: {ERROR['ep']:g}) in the worst layer, of ours at tolerance "
        f"{EXACT:g}; ours has the loosest tolerance of {TOLERANCES[0]:g}, {TOLERANCES[1]:g}, ... "
        "that does. "
        f"pc at lambda {LAMBDA:g}, ep at gamma {GAMMA:g} and beta {BETA:g} to both "
        "sides. PyTorch has the fewest steps that do, searched before."
    )
    return section

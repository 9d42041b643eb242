"""The circuits that are timed, and the ruler that all results are held to.

Owns their sizes and their random inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuit.dynamics import begin, build_circuit
from circuit.initialisation.networks import initialise
from circuit.network import Network, forward
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import judge

TOLERANCE = 1e-10  # relative residual of every layer
GAMMA = 0.01
N_OUTPUTS = 10
PATHWAYS = ("itp", "gait")
WITH_LENGTHS = (*PATHWAYS, "grait")  # the last with rows of unequal lengths: else it is gait


@dataclass(frozen=True)
class CircuitSizes:
    """How large the circuits are and how long they are timed."""

    width: int = 784
    depth: int = 5
    batch: int = 60
    rounds: int = 15
    depths: tuple[int, ...] = (5, 10, 20, 50, 100, 200, 500)
    deep_width: int = 64
    batches: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    gammas: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 0.3)
    limit: float = 15.0  # seconds for one contestant
    thorough: bool = True  # whether every setting of a contestant is tried


QUICK = CircuitSizes(
    width=24,
    depth=3,
    batch=6,
    rounds=2,
    depths=(3, 6, 12),
    deep_width=12,
    batches=(1, 4, 16),
    gammas=(1e-2, 1e-1),
    limit=5.0,
    thorough=False,
)


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with raw inputs and targets.

    Attributes
    ----------
    inputs : array (batch, N_0), uniform in [0, 1]
    targets : array (batch, N_OUTPUTS), one-hot
    """

    network: Network
    inputs: np.ndarray
    targets: np.ndarray
    pathway: str
    gamma: float = GAMMA

    def begin(self) -> Trial:
        """The trial, with its forward pass."""
        circuit = build_circuit(self.network, self.pathway, self.gamma)
        return begin(circuit, self.inputs, self.targets)

    def renewed(self) -> Problem:
        """The same with a network whose weights nobody has factorised."""
        return replace(self, network=replace(self.network))

    def nearby(self) -> Problem:
        """The same with targets a tenth of the output's own size away from the output.

        Leaky units shrink the activity by about 0.7 a layer. With an error of order 1 at an output
        of order 1e-77 the GAIT pathway has no equilibrium: every unit would cross its kink.
        """
        outputs = forward(self.network, self.inputs).rates[-1][:, : self.network.n_outputs]
        return replace(self, targets=1.1 * outputs)


def problem(
    width: int,
    depth: int,
    batch: int,
    pathway: str,
    *,
    gamma: float = GAMMA,
    activation: str = "leaky_relu",
    seed: int = 1,
) -> Problem:
    """A square network in float64 of orthogonal rows, of lengths between 1/2 and 2 in the GRAIT
    pathway and else of 1; random images and one-hot targets.
    """
    rng = np.random.default_rng(seed)
    n_outputs = min(N_OUTPUTS, width)
    network = initialise(
        [width] * (depth + 1),
        rng,
        init="unequal_rows" if pathway == "grait" else "orthogonal",
        activation=activation,
        n_outputs=n_outputs,
    )
    inputs = rng.random((batch, width))
    targets = np.eye(n_outputs)[rng.integers(0, n_outputs, batch)]
    return Problem(network, inputs, targets, pathway, gamma)


def residuals(trial: Trial, shifts: Shifts) -> tuple[float, ...]:
    """The worst sample's relative residual in each layer, by the project's one ruler."""
    return judge(trial, shifts, TOLERANCE).relative_residuals


def as_state(trial: Trial, shifts: Shifts) -> Shifts:
    """The shifts of a learning rule as a state of the circuit.

    A rule carries the error unscaled at the output, the circuit carries the nudge.
    """
    nudge = trial.circuit.strengths[-1]
    return replace(shifts, scales=tuple(scale.times(nudge) for scale in shifts.scales))

"""Products with the Jacobian of a circuit at a state, and with its transpose, without forming it.

The linearised circuit is its weights and the diagonals of `circuit.linearisation.diagonals`, whose
names are those of the equations there. NumPy in float64, one network, one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator

from analysis.precise import in_float64
from circuit.errors import CircuitError
from circuit.learned_inverse.inverse_model import InverseModel
from circuit.linearisation.diagonals import diagonals
from circuit.network import Network
from circuit.numerics.arrays import is_numpy, widened
from circuit.numerics.scale import ONE
from circuit.shift_dynamics import balance
from circuit.shifts import Shifts, require_fits
from circuit.trial import Trial

Layers = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Linearised:
    """The Jacobian, in 1/s, of a circuit of which layer l is measured in units of `sizes[l-1]`.

    Attributes
    ----------
    kept : L arrays (N_l,), (1 - gamma) A, or A for a unit without feedback
    leak : L arrays (N_l,), 1, or 1 - gamma where feedback is added to the rate that is there
    own, fed : L arrays (N_l,), o and i of layers 2 .. L; of layer 1 they are not used, nor is A
    returned : gamma_l, the part that comes from above
    sizes : L floats, 1 for deviations of the rates themselves
    feedback : what stands in for the inverse of the weights; None for the exact inverse
    """

    network: Network
    kept: tuple[np.ndarray, ...]
    leak: tuple[np.ndarray, ...]
    own: tuple[np.ndarray, ...]
    fed: tuple[np.ndarray, ...]
    returned: tuple[float, ...]
    time_constants: tuple[float, ...]
    sizes: tuple[float, ...]
    feedback: InverseModel | None = None

    @property
    def units(self) -> int:
        """In all layers together."""
        return sum(self.network.widths[1:])

    def in_units_of(self, sizes: Sequence[float]) -> Linearised:
        """The same in other units: a similarity, which leaves the eigenvalues as they are."""
        return replace(self, sizes=tuple(sizes))

    def balanced(self) -> Linearised:
        """The same in the units that make what goes up and what comes down alike.

        In them the ITP circuit of linear units with orthogonal weights is symmetric.
        """
        sizes = [1.0]
        for gamma in self.returned[:-1]:
            sizes.append(sizes[-1] * ((1 - gamma) / gamma) ** 0.5)
        return self.in_units_of(sizes)

    def times(self, flat: np.ndarray) -> np.ndarray:
        """J times a vector (units,), the layers 1 .. L one after the other."""
        network = self.network
        below = [size * part for size, part in zip(self.sizes, self._split(flat), strict=True)]
        drives = [
            None,
            *(network.push(layer, below[layer - 2]) for layer in range(2, network.depth + 1)),
        ]
        changes = []
        for layer in range(1, network.depth + 1):
            change = -self.leak[layer - 1] * below[layer - 1]
            if layer > 1:
                change = change + self.kept[layer - 1] * drives[layer - 1]
            if layer < network.depth:
                message = self.own[layer] * below[layer] + self.fed[layer] * drives[layer]
                returned = self._pull(layer + 1, message)
                change = change + self.returned[layer - 1] * widened(returned, change.shape[-1])
            changes.append(change / (self.time_constants[layer - 1] * self.sizes[layer - 1]))
        return np.concatenate([change[0] for change in changes])

    def transposed_times(self, flat: np.ndarray) -> np.ndarray:
        """J^T times a vector (units,)."""
        network = self.network
        taus = (tau * size for tau, size in zip(self.time_constants, self.sizes, strict=True))
        given = [part / tau for part, tau in zip(self._split(flat), taus, strict=True)]
        gathered = [-leak * part for leak, part in zip(self.leak, given, strict=True)]
        for layer in range(2, network.depth + 1):
            n = network.n_projecting(layer - 1)
            pulled = self.returned[layer - 2] * given[layer - 2][:, :n]
            message = self._pull_transposed(layer, pulled)
            gathered[layer - 1] = gathered[layer - 1] + self.own[layer - 1] * message
            drive = self.kept[layer - 1] * given[layer - 1] + self.fed[layer - 1] * message
            gathered[layer - 2] = gathered[layer - 2] + network.pull_transposed(layer, drive)
        scaled = (size * part for size, part in zip(self.sizes, gathered, strict=True))
        return np.concatenate([part[0] for part in scaled])

    def _pull(self, layer: int, message: np.ndarray) -> np.ndarray:
        """What a message of `layer` makes of the units below that get feedback."""
        if self.feedback is None:
            return self.network.factors[layer - 1].solve(message)
        return self.feedback.pull(layer, message)

    def _pull_transposed(self, layer: int, pulled: np.ndarray) -> np.ndarray:
        if self.feedback is None:
            return self.network.factors[layer - 1].solve_transposed(pulled)
        return pulled @ self.feedback.weights[layer - 2]

    def operator(self, unit: float = 1.0) -> LinearOperator:
        """`unit` times J for SciPy's solvers; `unit` in s makes its entries pure numbers."""
        return LinearOperator(
            (self.units, self.units),
            matvec=lambda flat: unit * self.times(flat.reshape(-1)),
            rmatvec=lambda flat: unit * self.transposed_times(flat.reshape(-1)),
            dtype=np.float64,
        )

    def _split(self, flat: np.ndarray) -> Layers:
        ends = np.cumsum(self.network.widths[1:])
        return [part[None, :] for part in np.split(flat, ends[:-1])]


def linearised(trial: Trial, shifts: Shifts, sample: int = 0) -> Linearised:
    """The linearised circuit at the state of one sample, in units of the rates.

    Raises
    ------
    CircuitError
        Unless the trial holds NumPy arrays of one network, and this sample.
    SingularWeights
    """
    if not (is_numpy(trial.error) and trial.error.ndim == 2):
        raise CircuitError("products with a Jacobian take NumPy arrays of one network")
    trial.require_sample(sample)
    require_fits(shifts, trial.activity.rates[1:])
    trial = in_float64(trial.samples([sample]))
    circuit, network = trial.circuit, trial.network
    if trial.is_free:
        raise CircuitError("a free phase has no output; give the record's trial, that of the nudge")
    values = (
        shifts.absolute(layer)[sample : sample + 1].astype(float)
        for layer in range(1, network.depth + 1)
    )
    absolute = Shifts(tuple(values), (ONE,) * network.depth, shifts.gains)
    terms = balance(trial, absolute)
    kept, leak, own, fed = [], [], [], []
    for layer in range(1, network.depth + 1):
        n, one = network.n_projecting(layer), np.ones((1, network.widths[layer]))
        # nothing comes into layer 1 from below that moves, and it sends nothing down
        slope, sent, passed = (
            diagonals(trial, absolute, terms, layer) if layer > 1 else (one, one, 0.0)
        )
        own.append(sent)
        fed.append(passed * one)
        kept.append(slope.copy())
        kept[-1][:, :n] *= 1 - circuit.strength(layer)
        leak.append(one.copy())
        if circuit.sends_deviations and layer < network.depth:
            leak[-1][:, :n] -= circuit.strength(layer)
    return Linearised(
        network,
        tuple(part[0] for part in kept),
        tuple(part[0] for part in leak),
        tuple(part[0] for part in own),
        tuple(part[0] for part in fed),
        circuit.strengths,
        circuit.time_constants,
        (1.0,) * network.depth,
        circuit.feedback,
    )

"""Circuits whose feedback weights are not the inverse of their feed-forward weights.

Owns such a circuit as a small vector field of its own, and its Jacobian. Does not own where it
comes to rest (`studies.imperfection.equilibrium`), the matrices (`studies.imperfection.matrices`),
nor the circuit with the exact inverse (`circuit.dynamics`), whose special case this is.

B_l stands in for W_l^-1 in the feedback to the hidden layers (docs/derivation.md, section 2). With
h = W_{l+1} y_l + b the drive of layer l+1, u = f(h), and what the layer sends, y_{l+1} in the ITP
pathway and u + A^2 (y_{l+1} - u) in the GAIT pathway, there are two circuits:

    plain       F = B_{l+1} (f^-1(sent) - b)
    corrected   F = y_l + B_{l+1} (f^-1(sent) - h)

They are one for B = W^-1. In the plain circuit feedback does not agree with the forward pass even
where there is no error, F - y_l = (B W - 1) y_l: its free phase (gamma_L = 0) rests elsewhere. So
it is settled twice, and a layer's shift is what the nudge adds to the free phase. The corrected one
sends deviations alone, as in difference target propagation (Lee et al. 2015), and the forward pass
stays its free phase. Its mismatch m_l = y_l - f(h_l) obeys, in a linear piece and with
r = gamma / (1 - gamma), m_l = r B_{l+1} A^{+-1} m_{l+1} (GAIT +, ITP -). So the GAIT pathway with
B = W^T carries back-propagation for any weights.

A state is a deviation z from a base, the forward pass or the free phase, in units of the rates.
With p_l = f(h_l + W_l z_{l-1}) - f(h_l), and c_l = gamma (B W - 1) y_l in the free phase of the
plain circuit, else 0, what a layer demands less what it is given is

    R_l = z_l - (1 - gamma_l) p_l - gamma_l (F - F_base) - c_l
    R_L = z_L - p_L - gamma_L (e - p_L)

with e the target less the base, and gamma_L = 0 in the free phase. Differences of f and f^-1 are
those of `circuit.activations`, so that a shift of any size keeps its digits. NumPy only; time in
units of tau.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.dynamics import Trial
from circuit.errors import CircuitError
from circuit.network import Activity

Layers = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Imperfect:
    """A trial whose feedback goes through other matrices than the inverses.

    Attributes
    ----------
    trial : of NumPy arrays and one network
    matrices : B_1 .. B_L (n_l, N_l), of the shapes of W^T; B_1 is never used
    corrected : whether only deviations are sent down
    offsets : c_1 .. c_L (n_l), for F = B f^-1(sent) + c in the plain circuit, which is -B b where
        none are given; c_1 is never used, and the corrected circuit has none
    """

    trial: Trial
    matrices: Layers
    corrected: bool
    offsets: Layers | None = None

    def __post_init__(self) -> None:
        shapes = [matrix.shape for matrix in self.matrices]
        wanted = [weights.shape[::-1] for weights in self.trial.network.weights]
        if shapes != wanted:
            raise CircuitError(
                f"feedback matrices of shapes {shapes}; give one like the transpose of each of the "
                f"weights {wanted}"
            )

    def bias_of_feedback(self, layer: int) -> np.ndarray | float:
        """B_l b_l + c_l: what offsets add to B_l (f^-1 - b_l)."""
        if self.offsets is None:
            return 0.0
        bias = self.trial.network.biases[layer - 1]
        return self.matrices[layer - 1] @ bias + self.offsets[layer - 1]


def residual(circuit: Imperfect, base: Activity, state: Layers, error: np.ndarray | None) -> Layers:
    """R_1 .. R_L, each `(batch, N_l)`.

    Parameters
    ----------
    base : what `state` counts from: the forward pass; of the plain circuit, an equilibrium of the
        free phase where an `error` is given
    state : L arrays (batch, N_l)
    error : array (batch, N_L), target less base, zero at auxiliary outputs; None in the free phase
    """
    trial, network = circuit.trial, circuit.trial.network
    found = []
    for layer, z in enumerate(state, 1):
        n, gamma = network.n_projecting(layer), trial.circuit.strength(layer)
        p = np.zeros_like(z)
        if layer > 1:
            lifted = network.push(layer, state[layer - 2])
            p = network.activation(layer).difference(base.drive(layer), lifted, 1.0)
        demand = z - p
        if layer < network.depth:
            pulled = _feedback_change(circuit, base, state, layer)
            if not circuit.corrected and error is None:
                rates = base.rates[layer][:, :n]
                drive = network.push(layer + 1, rates)
                pulled = pulled + drive @ circuit.matrices[layer].T - rates
                pulled = pulled + circuit.bias_of_feedback(layer + 1)
            demand[:, :n] += gamma * (p[:, :n] - pulled)
        elif error is not None:
            demand[:, :n] += gamma * (p - error)[:, :n]
        found.append(demand)
    return tuple(found)


def _feedback_change(circuit: Imperfect, base: Activity, state: Layers, layer: int) -> np.ndarray:
    """F - F_base at `layer`, (batch, projecting units)."""
    network, above = circuit.trial.network, layer + 1
    n, unit, h = network.n_projecting(layer), network.activation(above), base.drive(above)
    z, k = state[above - 1], network.push(above, state[layer - 1])
    if circuit.trial.circuit.pathway.gradient_adjusted:
        p, slope = unit.difference(h, k, 1.0), unit.slope(h + k)
        deviation = circuit.trial.circuit.by_rows(above, z - p)
        if circuit.corrected:
            # the base is the forward pass, without mismatch
            message = unit.sends(unit.value(h + k), slope**2 * deviation, 1.0)
        else:
            own, still = unit.value(h), base.slope(above)
            mismatch = circuit.trial.circuit.by_rows(above, base.rates[above] - own)
            change = p + slope**2 * deviation + (slope - still) * (slope + still) * mismatch
            message = unit.sends(own + still**2 * mismatch, change, 1.0)
    else:
        message = unit.sends(base.rates[above], z, 1.0)
        if circuit.corrected:
            message = message - k
    pulled = message @ circuit.matrices[above - 1].T
    return pulled + state[layer - 1][:, :n] if circuit.corrected else pulled


def jacobians(
    circuit: Imperfect, base: Activity, state: Layers, *, nudged: bool = True
) -> np.ndarray:
    """The Jacobian of dz/dt = -R, (batch, N, N), one an image; N are the units of layers 1 .. L."""
    trial, network = circuit.trial, circuit.trial.network
    starts = np.cumsum([0, *network.widths[1:]])
    batch, total = trial.error.shape[0], int(starts[-1])
    found = np.zeros((batch, total, total))
    found[:, range(total), range(total)] = -1.0
    for layer in range(2, network.depth + 1):
        W, B, unit = (
            network.weights[layer - 1],
            circuit.matrices[layer - 1],
            network.activation(layer),
        )
        n, read = network.n_projecting(layer), network.n_projecting(layer - 1)
        k = network.push(layer, state[layer - 2])
        h, y = base.drive(layer) + k, base.rates[layer] + state[layer - 1]
        A = unit.slope(h)
        here = slice(starts[layer - 1], starts[layer])
        below = slice(starts[layer - 2], starts[layer - 2] + read)  # that projects
        kept = np.ones(network.widths[layer])
        if nudged or layer < network.depth:
            kept[:n] -= trial.circuit.strength(layer)
        found[:, here, below] += (kept * A)[:, :, None] * W
        if trial.circuit.pathway.gradient_adjusted:
            mismatch = trial.circuit.by_rows(layer, y - unit.value(h))
            sender = unit.slope(unit.inverse(unit.value(h) + A**2 * mismatch))
            by_rate = trial.circuit.by_rows(layer, A**2) / sender
            by_drive = (A + 2 * A * unit.curvature(h) * mismatch) / sender - A * by_rate
        else:
            by_drive, by_rate = np.zeros_like(A), 1 / unit.slope(unit.inverse(y))
        gamma = trial.circuit.strength(layer - 1)
        found[:, below, here] += gamma * B * by_rate[:, None, :]
        if circuit.corrected:
            by_drive = by_drive - 1
            found[:, below, below] += gamma * np.eye(read)
        found[:, below, below] += gamma * (B * by_drive[:, None, :]) @ W
    return found

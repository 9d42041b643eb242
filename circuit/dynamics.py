"""A circuit built, a trial of it begun, and its rate equations (docs/derivation.md, section 2).

Owns which rates drive which, and how fast. Does not own the same equations in shift coordinates
(`circuit.shift_dynamics`), nor where the rates come to rest (`circuit.equilibrium`).

    tau_l dy_l/dt = -y_l + (1 - gamma_l) g_l(y_{l-1}) + gamma_l F_{l+1}(y_l, y_{l+1})    l < L
    tau_L dy_L/dt = -y_L + (1 - gamma_L) g_L(y_{L-1}) + gamma_L t_L

    ITP pathway    F = g^-1(y_{l+1})
    GAIT pathway   F = g^-1( u + A^2 (y_{l+1} - u) ),   u = g_{l+1}(y_l),  A the slope at u
    GRAIT pathway  F = g^-1( u + A^2 N^2 (y_{l+1} - u) ),   N the lengths of the rows of W_{l+1}

Where something else takes the place of the exact inverse, g^-1(y) = B f^-1(y) + c, and there are
two circuits (docs/imperfect_pathway.md). The corrected one sends deviations from the drive that the
sender has now, F = y_l + g^-1(sent) - g^-1(u), so that the forward pass stays its free phase; the
plain one sends g^-1(sent) itself, and rests elsewhere where there is no nudge.

The input y_0 is clamped. Auxiliary units receive no feedback: for them the factor (1 - gamma) and
the feedback are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from circuit.checks.given import (
    is_sequence,
    real,
    reals,
    require_choice,
    require_flag,
    require_kind,
)
from circuit.circuit import Circuit
from circuit.errors import CircuitError, ShapeMismatch
from circuit.feedback import PATHWAYS
from circuit.labels.targets import one_hot
from circuit.learned_inverse.inverse_model import (
    InverseModel,
    model_of_matrices,
    pseudo_inverse_model,
    require_model,
)
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network, forward, require_activity
from circuit.numerics.arrays import Array, namespace, widened
from circuit.numerics.taken import labels_taken, taken
from circuit.settings.circuits import WEAK
from circuit.trial import Trial
from circuit.verification.doubt import doubt

FEEDBACKS = EXACT, PSEUDO_INVERSE = "exact", "pseudo-inverse"  # that have a name


def build_circuit(
    network: Network,
    pathway: str = "gait",
    feedback_strength: float | Sequence[float] = WEAK,
    *,
    nudge: float | None = None,
    time_constant: float | Sequence[float] = 0.010,
    feedback: str | InverseModel | Sequence[Array] = EXACT,
    corrected: bool = True,
) -> Circuit:
    """A circuit around `network`.

    Parameters
    ----------
    pathway : "itp", "gait" or "grait"
    feedback_strength
        gamma for all layers; or gamma_1 .. gamma_L, or gamma_1 .. gamma_{L-1} beside a `nudge`.
    nudge
        gamma_L, the strength with which the output is drawn to its target. By default the
        feedback strength.
    time_constant
        tau for all layers or one per layer, in seconds, or Brian2 quantities such as 10*ms.
    feedback
        What goes down: "exact", the inverse of the weights; "pseudo-inverse", which weights of any
        shape have; an `InverseModel`; or matrices B_2 .. B_L of the shapes of W^T.
    corrected
        Whether only deviations go through a feedback that is not the exact inverse.

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import build_circuit, initialise
    >>> build_circuit(initialise([4, 4, 3], 0), "gait", 0.01)
    Circuit(gait pathway, gamma 0.01, tau 10 ms, 4-4-3, leaky_relu, 3 outputs)
    """
    require_kind("network", network, Network)
    require_choice("pathway", pathway, PATHWAYS)
    require_flag("corrected", corrected)
    for unit in network.activations:
        if unit.clips is not None:
            raise CircuitError(
                f"a circuit inverts its units exactly, {unit.name} does not; use tanh"
            )
    depth = network.depth
    if nudge is not None:
        hidden = reals("feedback strength", feedback_strength, depth)
        hidden = hidden[:-1] if len(hidden) == depth else hidden
        feedback_strength = (*hidden, real("nudge", nudge))
    strengths = reals("feedback strength", feedback_strength, depth)
    constants = reals("time constant", time_constant, depth, seconds=1)
    # what is wrong with these comes before what is wrong with the matrices
    circuit = Circuit(network, PATHWAYS[pathway], strengths, constants)
    return replace(circuit, feedback=_feedback(network, feedback), corrected=corrected)


def _feedback(
    network: Network, feedback: str | InverseModel | Sequence[Array]
) -> InverseModel | None:
    """The model that a circuit's feedback goes through; None for the exact inverse."""
    if isinstance(feedback, InverseModel):
        require_model(network, feedback)
        return feedback
    if not isinstance(feedback, str):
        return model_of_matrices(network, feedback)
    require_choice("feedback", feedback, FEEDBACKS)
    return None if feedback == EXACT else pseudo_inverse_model(network)


def begin(circuit: Circuit, inputs: Any, targets: Any, loss: str | Loss = "quadratic") -> Trial:
    """Clamp the input and set the target.

    Parameters
    ----------
    inputs : array (..., batch, N_0), or a list, a table and the like (`forward`)
    targets : array (..., batch, n_outputs), or labels
        Labels are whole numbers (batch,) from 0 to n_outputs - 1, and stand for one-hot targets;
        see `targets.one_hot` for others.
    loss : as in `losses.output_error`; the target of the circuit is y_L - dL/dy_L (section 5)

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> begin(build_circuit(initialise([3, 2], 0)), [[0.1, 0.2, 0.3]] * 2, [1, 0]).target
    array([[0., 1.],
           [1., 0.]])
    """
    require_kind("circuit", circuit, Circuit)
    activity = forward(circuit.network, inputs)
    outputs = activity.rates[-1]
    labels = labels_taken("labels", targets)
    if labels is not None and outputs.ndim == 2 and len(labels) == len(outputs):
        targets = one_hot(labels, circuit.network.n_outputs).tolist()
    targets = taken("targets", targets, outputs)
    error = output_error(circuit.network, activity, targets, loss)
    error = widened(error, circuit.network.widths[-1])
    return Trial(circuit, activity, error, doubt(targets, loss))


def velocity(trial: Trial, rates: Sequence[Array], *, nudged: bool = True) -> tuple[Array, ...]:
    """dy_l/dt for l = 1 .. L in 1/s, at the rates y_1 .. y_L `(..., batch, N_l)`.

    The equations as they are printed. For finding an equilibrium use shift coordinates instead.
    `nudged=False` is the free phase: gamma_L = 0. Raises `ShapeMismatch` for other rates.
    """
    circuit, network = trial.circuit, trial.network
    require_flag("nudged", nudged)
    if not is_sequence(rates):
        raise ShapeMismatch(f"rates are {type(rates).__name__}; give a tuple of y_1 .. y_L")
    below = (trial.activity.rates[0], *rates)
    xp = namespace(*below)
    require_activity(network, Activity(below, (), ()))

    velocities = []
    for layer in range(1, network.depth + 1):
        n, gamma = network.n_projecting(layer), circuit.strength(layer)
        feedforward = network.activation(layer).value(network.drive(layer, below[layer - 1]))
        if layer == network.depth:
            feedback = trial.target[..., :n]
            gamma = gamma if nudged else 0.0
        else:
            unit = network.activation(layer + 1)
            sent = below[layer + 1]
            if circuit.pathway.gradient_adjusted:
                local = network.drive(layer + 1, below[layer])
                own = unit.value(local)
                deviation = circuit.by_rows(layer + 1, sent - own)
                sent = own + circuit.pathway.local(unit.slope(local), deviation)
            feedback = _returned(circuit, layer + 1, unit.inverse(sent), below[layer])[..., :n]
        driven = feedforward - below[layer]
        pulled = driven[..., :n] + gamma * (feedback - feedforward[..., :n])
        velocities.append(
            xp.concat([pulled, driven[..., n:]], axis=-1) / circuit.time_constants[layer - 1]
        )
    return tuple(velocities)


def _returned(circuit: Circuit, layer: int, drives: Array, below: Array) -> Array:
    """F of the layer below, at the rates `below`, where `layer` sends what stands for `drives`."""
    network, model = circuit.network, circuit.feedback
    if model is None:
        bias = namespace(drives).expand_dims(network.biases[layer - 1], axis=-2)
        return network.pull(layer, drives - bias)
    if not circuit.corrected:
        return model.reconstruct(layer, drives)
    n = network.n_projecting(layer - 1)
    return below[..., :n] + model.pull(layer, drives - network.drive(layer, below))

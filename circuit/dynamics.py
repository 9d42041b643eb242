"""A circuit, a trial of it, and its rate equations (docs/derivation.md, section 2).

Owns which rates drive which, and how fast. Does not own the same equations in shift coordinates
(`circuit.shift_dynamics`), their linearisation (`circuit.jacobian`), methods that find where the
rates come to rest, nor the judgement whether they have.

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
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from circuit.brief import Brief, Rows, batch_of, same_or_each
from circuit.errors import CircuitError, ShapeMismatch
from circuit.feedback import PATHWAYS, Gain, mismatch_ratios, per_layer, ruin_ratios
from circuit.given import (
    is_sequence,
    is_whole,
    real,
    reals,
    require_choice,
    require_flag,
    require_kind,
    shown,
)
from circuit.inverse_model import (
    InverseModel,
    model_of_matrices,
    pseudo_inverse_model,
    require_model,
)
from circuit.losses import AS_GIVEN, Doubt, Loss, doubt, output_error, require_all_errors
from circuit.network import Activity, Network, forward, require_activity
from circuit.numerics.arrays import Array, namespace, take_rows, widened
from circuit.numerics.taken import labels_taken, taken
from circuit.shifts import ONE, Scale, Shifts, excess
from circuit.targets import one_hot

FEEDBACKS = EXACT, PSEUDO_INVERSE = "exact", "pseudo-inverse"  # that have a name


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(Brief):
    """A network with weak feedback.

    Attributes
    ----------
    pathway : `Gain`, what a layer sends down
    strengths : gamma_1 .. gamma_L; the last is the nudge
    time_constants : tau_1 .. tau_L in seconds
    feedback : what stands in for the inverse of the weights; None for the exact inverse
    corrected : whether only deviations from the sender's present drive go through `feedback`

    Raises
    ------
    CircuitError
        On construction.
    """

    network: Network
    pathway: Gain
    strengths: tuple[float, ...]
    time_constants: tuple[float, ...]
    feedback: InverseModel | None = None
    corrected: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether it is uncorrected, so that its free phase is not the forward pass."""
        return self.feedback is not None and not self.corrected

    @property
    def sends_deviations(self) -> bool:
        """Whether what goes down is added to the rate that is there, by way of `feedback`."""
        return self.feedback is not None and self.corrected

    @property
    def from_present_drive(self) -> bool:
        """Whether a message counts from the drive that its sender has now, not from that at rest.

        What a layer leaves for feedback to supply is then a multiple of its mismatch.
        """
        if self.feedback is None:
            return self.pathway.gradient_adjusted
        return self.corrected

    def pull(self, layer: int, drives: Array) -> Array:
        """What drives `(..., batch, N_l)` of `layer` make of the units that it reads,
        `(..., batch, n_l)`. Raises `SingularWeights` where it needs an inverse that is not there.
        """
        if self.feedback is None:
            return self.network.factors[layer - 1].solve(drives)
        return self.feedback.pull(layer, drives)

    def __post_init__(self) -> None:
        require_kind("network", self.network, Network)
        require_kind("pathway", self.pathway, Gain)
        depth = self.network.depth
        object.__setattr__(self, "strengths", per_layer(self.strengths, depth))
        constants = reals("time constant", self.time_constants, depth, seconds=1)
        if len(constants) != depth or not all(0 < tau < float("inf") for tau in constants):
            raise CircuitError(
                f"time constants {constants}: give one or {depth} positive numbers of seconds"
            )
        object.__setattr__(self, "time_constants", constants)

    def at_limits(self, strengths: tuple[float, ...]) -> Circuit:
        """The same circuit with these gamma_1 .. gamma_L, 0 and 1 among them, unchecked.

        No circuit has such strengths; its equations have limits there: without a nudge, or where
        what is affine in gamma is told from its values at both ends.
        """
        limit = replace(self)
        object.__setattr__(limit, "strengths", strengths)
        return limit

    def _words(self) -> list[str]:
        constants = [1e3 * tau for tau in self.time_constants]
        return [
            f"{self.pathway.name} pathway",
            f"gamma {same_or_each(self.strengths)}",
            f"tau {same_or_each(constants)} ms",
            *([] if self.feedback is None else [f"{'plain ' * self.is_plain}feedback matrices"]),
            *self.network._words(),
        ]

    def _rows(self) -> Rows:
        constants = [f"{1e3 * tau:.3g}" for tau in self.time_constants]
        each = zip(self.network.widths[1:], self.strengths, constants, strict=True)
        return [
            ("layer", "units", "gamma", "tau in ms"),
            *((layer, *values) for layer, values in enumerate(each, 1)),
        ]

    def strength(self, layer: int) -> float:
        """Gamma of `layer`."""
        return self.strengths[layer - 1]

    def by_rows(self, layer: int, deviation: Array) -> Array:
        """The deviation of `layer` times N^2 where the pathway adjusts it to the rows of W."""
        if self.feedback is None:
            return self.pathway.by_rows(deviation, layer, self.network.squared_lengths)
        lengths = partial(self.feedback.squared_lengths, self.network)
        return self.pathway.by_rows(deviation, layer, lengths)

    @cached_property
    def round_trips(self) -> tuple[float, ...]:
        """Of layers 1 .. L-1, by how much rounding can grow on the way up and back down again."""
        layers = range(2, self.network.depth + 1)
        if self.feedback is None:
            return tuple(self.network.factors[layer - 1].condition for layer in layers)
        return tuple(self.feedback.round_trip(self.network, layer) for layer in layers)

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """Size of each layer's shift against that of the layer above, weights aside."""
        if self.pathway.gradient_adjusted:
            return mismatch_ratios(self.strengths)
        return ruin_ratios(self.strengths)

    @cached_property
    def gains(self) -> tuple[Scale, ...]:
        """Product of `ratios` from each layer 1 .. L up: the known size of its shift."""
        return _products(self.ratios)

    @cached_property
    def mismatch_gains(self) -> tuple[Scale, ...]:
        """The same of what the mismatches are to each other, but for the ITP circuit with the exact
        inverse, whose mismatches stand for nothing: `gains`.
        """
        if self.feedback is None:
            return self.gains
        return _products(mismatch_ratios(self.strengths))


def _products(ratios: Sequence[float]) -> tuple[Scale, ...]:
    """Of each layer's ratio and all above it."""
    gain, gains = ONE, []
    for ratio in reversed(ratios):
        gain = gain.times(ratio)
        gains.append(gain)
    return tuple(gains[::-1])


def build_circuit(
    network: Network,
    pathway: str = "gait",
    feedback_strength: float | Sequence[float] = 0.01,
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


@dataclass(frozen=True, eq=False, repr=False)
class Trial(Brief):
    """A circuit with its input clamped and a target for its output.

    Attributes
    ----------
    activity : what shifts count from, with rates (..., batch, N_l): the forward pass, or of a plain
        circuit that is being nudged its free phase
    error : array (..., batch, N_L)
        t_L - y_L, zero at auxiliary outputs.
    doubt : how well the error is known, given that the outputs are rounded
    still : L arrays (..., batch, N_l), the mismatches y_l - g_l(y_{l-1}) of the free phase of a
        plain circuit; None where `activity` is the forward pass

    Raises
    ------
    CircuitError, ShapeMismatch
        On construction, for parts that are not of one network and batch.
    """

    circuit: Circuit
    activity: Activity
    error: Array
    doubt: Doubt = AS_GIVEN
    still: tuple[Array, ...] | None = None

    def __post_init__(self) -> None:
        require_kind("circuit", self.circuit, Circuit)
        require_activity(self.circuit.network, self.activity)
        require_all_errors(self.activity, self.error)

    def _words(self) -> list[str]:
        return [batch_of(self.error.shape), *self.circuit._words()]

    def _rows(self) -> Rows:
        return self.circuit._rows()

    @property
    def network(self) -> Network:
        """The circuit's network."""
        return self.circuit.network

    @property
    def target(self) -> Array:
        """t_L `(..., batch, N_L)`: fixed during the trial, made from the forward pass."""
        return self.activity.rates[-1] + self.error

    @property
    def is_free(self) -> bool:
        """Whether it is the free phase of a plain circuit, which comes before its nudged one."""
        return self.circuit.is_plain and self.still is None

    @cached_property
    def source(self) -> tuple[Array, ...]:
        """g^(y_{l+1}) - y_l of the hidden layers, `(..., batch, n)`: what feedback adds to a
        forward pass in the free phase of a plain circuit, where there is no nudge.
        """
        model, activity = self.circuit.feedback, self.activity
        if model is None:
            return ()
        return tuple(
            model.reconstruct(layer, activity.drive(layer))
            - activity.rates[layer - 1][..., : self.network.n_projecting(layer - 1)]
            for layer in range(2, self.network.depth + 1)
        )

    def still_by_rows(self, layer: int) -> Array:
        """The mismatches at rest of a plain circuit, times N^2 in the GRAIT pathway."""
        if self.still is None:
            return namespace(self.error).zeros_like(self.activity.rates[layer])
        return self.circuit.by_rows(layer, self.still[layer - 1])

    def senders_at_rest(self, layer: int) -> Array:
        """The drives that the units of `layer` report down before anything has shifted."""
        drive = self.activity.drive(layer)
        if not self.circuit.is_plain or self.still is None:
            return drive
        unit, still = self.network.activation(layer), self.still_by_rows(layer)
        local = self.circuit.pathway.local(self.activity.slope(layer), still)
        return drive + unit.sends(unit.value(drive), local, 1.0)

    def resting(self, still: Sequence[Array]) -> Trial:
        """The nudged phase of a plain circuit whose free phase has these mismatches."""
        network, error = self.network, self.error
        activity = forward(network, self.activity.rates[0], still)
        error = (self.target - activity.rates[-1])[..., : network.n_outputs]
        return replace(
            self,
            activity=activity,
            error=widened(error, network.widths[-1]),
            still=tuple(still),
            doubt=Doubt(steepness=1.0),  # it is the target that is given
        )

    def from_forward_pass(self) -> Trial:
        """The same target with nothing settled yet."""
        if self.still is None:
            return self
        activity, n = forward(self.network, self.activity.rates[0]), self.network.n_outputs
        error = widened((self.target - activity.rates[-1])[..., :n], self.error.shape[-1])
        return replace(self, activity=activity, error=error, still=None)

    def require_sample(self, index: object) -> None:
        """Raise `CircuitError` unless the batch (of one network) has a sample of this number."""
        batch = self.error.shape[0]
        if not (is_whole(index) and 0 <= index < batch):
            raise CircuitError(
                f"there is no sample {shown(index)} in a batch of {batch}; count from 0"
            )

    def samples(self, indices: Sequence[int]) -> Trial:
        """The trial of some samples of the batch (of one network, not of a stack).

        Raises `CircuitError` for samples that are not there.
        """
        if not (is_sequence(indices) and len(indices) > 0):
            raise CircuitError(f"samples {shown(indices)}: give places in the batch, at least one")
        for index in set(indices) if not isinstance(indices, range) else (indices[0], indices[-1]):
            self.require_sample(index)

        def chosen(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(take_rows(array, indices) for array in arrays)

        activity = Activity(
            chosen(self.activity.rates), chosen(self.activity.drives), chosen(self.activity.slopes)
        )
        still = None if self.still is None else chosen(self.still)
        return replace(self, activity=activity, error=take_rows(self.error, indices), still=still)

    def with_feedback(self, feedback_strength: float | Sequence[float]) -> Trial:
        """The same images and targets at another gamma, or others in layers 1 .. L.

        The forward pass, which no feedback reaches, is not made again, nor are weights factorised.
        Raises `CircuitError` as `build_circuit`.
        """
        strengths = per_layer(feedback_strength, self.network.depth)
        circuit = replace(self.circuit, strengths=strengths)
        return replace(self.from_forward_pass(), circuit=circuit)

    def at_rest(self) -> Shifts:
        """What shifts count from itself, as shifts of zero in the trial's natural scales."""
        xp = namespace(self.error)
        zeros = tuple(xp.zeros_like(rates) for rates in self.activity.rates[1:])
        return Shifts(zeros, self.scales, self.circuit.gains)

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """Natural sizes of the shifts of layers 1 .. L: the circuit's gains, and with them the size
        of the errors where that is far from 1, so that a shift is of ordinary size in its scale.
        """
        if self.is_free:  # where they are no shifts that a nudge makes
            return (ONE,) * self.network.depth
        power = excess(self.error)
        return tuple(gain.shifted(power) for gain in self.circuit.gains)


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


def in_float64(trial: Trial) -> Trial:
    """The same circuit, input and targets in float64, with the forward pass computed anew.

    The free phase of a plain circuit, where it was settled, keeps its mismatches.
    """
    xp, network = namespace(trial.error), trial.network

    def exact(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(xp.astype(array, xp.float64) for array in arrays)

    if trial.error.dtype == xp.float64:
        return trial
    precise = replace(network, weights=exact(network.weights), biases=exact(network.biases))
    (inputs,) = exact(trial.activity.rates[:1])
    target = xp.astype(trial.activity.rates[-1], xp.float64) + xp.astype(trial.error, xp.float64)
    still = None if trial.still is None else exact(trial.still)
    activity = forward(precise, inputs, still)
    aimed = slice(None, network.n_outputs)
    error = widened((target - activity.rates[-1])[..., aimed], network.widths[-1])
    model = trial.circuit.feedback
    model = None if model is None else model.astype(xp.float64)
    circuit = replace(trial.circuit, network=precise, feedback=model)
    # from here on it is the target that is given
    return Trial(circuit, activity, error, Doubt(steepness=1.0), still)


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

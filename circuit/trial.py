"""A trial of a circuit: its input clamped, and a target for its output.

Owns what shifts count from, which of a plain circuit's two phases it is, and samples of a batch.
`circuit.dynamics.begin` makes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from circuit.checks.given import is_sequence, is_whole, require_kind, shown
from circuit.checks.outputs import require_all_errors
from circuit.circuit import Circuit
from circuit.errors import CircuitError
from circuit.feedback import per_layer
from circuit.network import Activity, Network, forward, require_activity
from circuit.numerics.arrays import Array, namespace, take_rows, widened
from circuit.numerics.scale import ONE, Scale
from circuit.records.brief import Brief, Rows, batch_of
from circuit.shifts import Shifts, excess
from circuit.verification.doubt import AS_GIVEN, Doubt


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

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> begin(build_circuit(initialise([2, 2], 0)), [[0.1, 0.2]], [1]).target
    array([[0., 1.]])
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
        activity, still = self.activity.samples(indices), self.still
        still = None if still is None else tuple(take_rows(each, indices) for each in still)
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

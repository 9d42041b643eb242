"""A circuit: a network whose layers are also coupled backwards, weakly.

Owns what goes down: through the exact inverse of the weights, or a model of it. The equations stand
in `circuit.dynamics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from circuit.checks.given import reals, require_kind
from circuit.errors import CircuitError
from circuit.feedback import Gain, mismatch_ratios, per_layer, ruin_ratios
from circuit.learned_inverse.inverse_model import InverseModel
from circuit.network import Network
from circuit.numerics.arrays import Array
from circuit.numerics.scale import ONE, Scale
from circuit.records.brief import Brief, Rows, same_or_each


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

    Examples
    --------
    >>> from circuit import build_circuit, initialise
    >>> build_circuit(initialise([4, 3, 2], 0), "itp", [0.1, 0.2]).strengths
    (0.1, 0.2)
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
        """The feedback strength gamma of `layer`."""
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

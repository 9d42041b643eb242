"""One shift beside every layer: what every learning rule, and the circuit, comes down to.

Owns the record of such shifts with their running scale.

A shift in layer l is stored as `scales[l-1] * values[l-1]`, with values of ordinary size and a
`Scale` that cannot underflow. `gains[l-1]` is the part of its size that the feedback strengths
alone explain (a product of gammas, known to the layer), which a local update divides by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from circuit.checks.given import require_choice, require_kind
from circuit.errors import NotFinite, ShapeMismatch
from circuit.numerics.arrays import Array, largest, namespace, put_rows, row_norms, take_rows
from circuit.numerics.scale import Scale, power_words, times
from circuit.records.brief import Brief, Rows, batch_of, counted
from circuit.settings.circuits import READOUTS


@dataclass(frozen=True, eq=False, repr=False)
class Shifts(Brief):
    """Shifts of the layers 1 .. L.

    Attributes
    ----------
    values : tuple of L arrays (..., batch, N_l)
    scales : tuple of L `Scale`, so that the shift is scale * value
    gains : tuple of L `Scale`, the product of feedback strengths in each shift

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle(trial).shifts
    Shifts(2 layers, 1 image, norms 1.0e-05 to 1.0e-02)
    """

    values: tuple[Array, ...]
    scales: tuple[Scale, ...]
    gains: tuple[Scale, ...]

    def _words(self) -> list[str]:
        sizes = [power_words(self.norm(layer).log10) for layer in (1, self.depth)]
        return [
            counted(self.depth, "layer"),
            batch_of(self.values[0].shape),
            f"norms {sizes[0]} to {sizes[1]}",
        ]

    def _rows(self) -> Rows:
        return [
            ("layer", "units", "norm", "per gain"),
            *(
                (
                    layer,
                    int(self.values[layer - 1].shape[-1]),
                    power_words(size.log10),
                    power_words(size.over(self.gains[layer - 1]).log10),
                )
                for layer in range(1, self.depth + 1)
                for size in [self.norm(layer)]
            ),
        ]

    @property
    def depth(self) -> int:
        """L."""
        return len(self.values)

    def absolute(self, layer: int) -> Array:
        """The shift of `layer` in units of the rates; entries that underflow are 0."""
        return times(self.values[layer - 1], self.scales[layer - 1])

    def per_gain(self, layer: int) -> Array:
        """The shift of `layer` divided by its gain: what a local update learns from."""
        ratio = self.scales[layer - 1].over(self.gains[layer - 1])
        return times(self.values[layer - 1], ratio)

    def with_values(self, values: tuple[Array, ...]) -> Shifts:
        """The same scales and gains around other values."""
        return replace(self, values=values)

    def samples(self, rows: Sequence[int]) -> Shifts:
        """Those of some samples of the batch."""
        return self.with_values(tuple(take_rows(value, rows) for value in self.values))

    def with_rows(self, rows: Sequence[int], other: Shifts) -> Shifts:
        """These with the samples `rows` replaced by those of `other`, in the scales of these."""
        pairs = zip(self.values, other.values, self.scales, other.scales, strict=True)
        return self.with_values(
            tuple(
                put_rows(value, rows, new * theirs.over(own).value)
                for value, new, own, theirs in pairs
            )
        )

    def norm(self, layer: int) -> Scale:
        """Root mean square, over samples, of the Euclidean norm of the shift of `layer`."""
        xp = namespace(self.values[layer - 1])
        norms = xp.reshape(row_norms(self.values[layer - 1]), (1, -1))
        mean = float(row_norms(norms)[0]) / norms.shape[-1] ** 0.5
        return self.scales[layer - 1].times(mean)


def require_readout(name: str) -> None:
    """Raise `CircuitError` unless `name` is in `READOUTS`."""
    require_choice("read-out", name, READOUTS)


def require_fits(shifts: Shifts, rates: Sequence[Array]) -> None:
    """Raise `ShapeMismatch` unless these are shifts of rates y_1 .. y_L of such shapes."""
    require_kind("shifts", shifts, Shifts)
    namespace(*shifts.values, *rates)
    found = [tuple(value.shape) for value in shifts.values]
    wanted = [tuple(rate.shape) for rate in rates]
    if found != wanted:
        raise ShapeMismatch(
            f"shifts of shapes {found} do not belong to rates of shapes {wanted}; give those of "
            "the same network and batch"
        )


def renormalised(value: Array, scale: Scale, layer: int) -> tuple[Array, Scale]:
    """`value` and `scale` with a power of two moved between them where `value` grew out of hand.

    Raises `NotFinite` where it is already beyond repair.
    """
    peak = largest(namespace(value).abs(value))
    if not peak < float("inf"):
        raise NotFinite(
            f"the shift of layer {layer} is not finite; use better conditioned weights "
            "(orthogonal initialisation), or float64"
        )
    exponent = _excess(peak)
    if exponent == 0:
        return value, scale
    return times(value, Scale(0.5, 1 - exponent)), scale.shifted(exponent)


def excess(value: Array) -> int:
    """The power of two by which the largest finite entry is out of hand; 0 for one of usual size.

    What is not finite is left out, so that the samples with it do not decide for the others.
    """
    xp = namespace(value)
    size = xp.abs(value)
    peak = largest(size)
    if not peak < float("inf"):
        peak = largest(xp.where(xp.isfinite(size), size, xp.zeros_like(size)))
    return _excess(peak)


def _excess(peak: float) -> int:
    exponent = Scale.of(peak).exponent
    return 0 if -20 <= exponent <= 20 else exponent

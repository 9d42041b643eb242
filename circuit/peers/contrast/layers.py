"""The two systems of layers beside layers that a contrast needs: a free state, and its change.

Owns what a layer gets from below and from above, and what it makes of it. Does not own how states
are found (`circuit.peers.contrast.sweeps`), nor the nudge (`circuit.peers.contrast.nudge`).

    free state   s_l = f(h_l),  h_l = W_l s_{l-1} + b_l + gamma W_{l+1}^T s_{l+1}
    its change   d_l = f(h_l + D_l) - f(h_l),  D_l = W_l d_{l-1} + gamma W_{l+1}^T d_{l+1}

without the last term at the output. In units of scales with s_l near gamma s_{l+1} the change
v_l = d_l / s_l has ordinary size in every layer,

    v_l = [f(h_l + s_l u_l) - f(h_l)] / s_l
    u_l = s_{l-1}/s_l W_l v_{l-1} + r_l W_{l+1}^T v_{l+1},

r_l = gamma s_{l+1}/s_l being a power of two, 1 but where weights amplify: back-propagation, and a
term of the order gamma from below. No two numbers of one size are subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from circuit.messages import response
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, take_rows
from circuit.numerics.scale import ONE, Scale, times
from circuit.peers.contrast.nudge import Nudge
from circuit.peers.contrast.relaxation import Factors, relaxation
from circuit.records.brief import Brief
from circuit.shifts import excess


class Swept(Protocol):
    """Layers 1 .. L whose values `(..., batch, N_l)` depend on those of the layers beside them, as
    far as a sweep knows them.
    """

    @property
    def network(self) -> Network:
        """Whose weights join the layers."""

    @property
    def factors(self) -> Factors:
        """By how much the layers overshoot in a sweep."""

    def from_below(self, layer: int, below: Array) -> Array:
        """What `layer` gets from the values of the one below, which layer 1 gets without."""

    def from_above(self, layer: int, above: Array) -> Array:
        """What `layer` gets from the values of the one above."""

    def respond(self, layer: int, drive: Array, last: Array | None = None) -> Array:
        """The value of a layer that gets `drive` in all; `last` is the one that it had."""


class Coupled(Swept, Protocol):
    """The same, as far as their equations are known."""

    def sent_up(self, layer: int, change: Array) -> Array:
        """By what `from_below` changes where the values of the layer below change."""

    def miss(self, layer: int, value: Array, drive: Array) -> Array:
        """By how much a value misses its own equation."""

    def samples(self, rows: Sequence[int]) -> Self:
        """The same for some samples of the batch."""

    def through(self, network: Network) -> Self:
        """The same through other weights."""

    def plain(self) -> Self:
        """The same without overshooting."""


@dataclass(frozen=True, eq=False, repr=False)
class FreeLayers(Brief):
    """The free state, in units of the rates.

    Attributes
    ----------
    gamma : feedback strength
    base : (..., batch, N_1), what the input drives layer 1 by
    factors : by how much the layers overshoot in a sweep (`circuit.peers.contrast.relaxation`)
    """

    network: Network
    gamma: float
    base: Array
    factors: Factors

    def from_below(self, layer: int, below: Array) -> Array:
        """As `Coupled`, with the bias."""
        return self.base if layer == 1 else self.network.drive(layer, below)

    def sent_up(self, layer: int, change: Array) -> Array:
        """As `Coupled`."""
        return self.network.push(layer, change)

    def from_above(self, layer: int, above: Array) -> Array:
        """As `Coupled`."""
        return self.gamma * self.network.pull_transposed(layer + 1, above)

    def respond(self, layer: int, drive: Array, last: Array | None = None) -> Array:
        """As `Coupled`."""
        return self.network.activation(layer).value(drive)

    def miss(self, layer: int, value: Array, drive: Array) -> Array:
        """As `Coupled`."""
        return value - self.respond(layer, drive)

    def samples(self, rows: Sequence[int]) -> FreeLayers:
        """As `Coupled`."""
        return replace(self, base=take_rows(self.base, rows), factors=_few(self.factors, rows))

    def through(self, network: Network) -> FreeLayers:
        """As `Coupled`."""
        return replace(self, network=network)

    def plain(self) -> FreeLayers:
        """As `Coupled`."""
        return replace(self, factors=(None,) * len(self.factors))


@dataclass(frozen=True, eq=False, repr=False)
class ShiftedLayers(Brief):
    """The change of a free state under a nudge, in units of a scale for each layer.

    Attributes
    ----------
    free : the free state
    scales : s_1 .. s_L
    below : L floats, s_{l-1}/s_l, of which the first is not used
    above : L floats, r_l, of which the last is not used
    factors : as those of `FreeLayers`
    """

    network: Network
    free: Activity
    nudge: Nudge
    scales: tuple[Scale, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    factors: Factors

    def from_below(self, layer: int, below: Array) -> Array:
        """As `Coupled`."""
        if layer == 1:
            return namespace(self.free.drive(1)).zeros_like(self.free.drive(1))
        return self.sent_up(layer, below)

    def sent_up(self, layer: int, change: Array) -> Array:
        """As `Coupled`."""
        return self.below[layer - 1] * self.network.push(layer, change)

    def from_above(self, layer: int, above: Array) -> Array:
        """As `Coupled`."""
        pulled, ratio = self.network.pull_transposed(layer + 1, above), self.above[layer - 1]
        return pulled if ratio == 1 else ratio * pulled

    def respond(self, layer: int, drive: Array, last: Array | None = None) -> Array:
        """As `Coupled`."""
        if layer < self.network.depth:
            return self._unit(layer, drive)
        n = self.network.n_outputs
        last = None if last is None else last[..., :n]
        nudged = self.nudge.respond(self._output, drive[..., :n], last)
        return self._with_auxiliaries(drive, nudged)

    def miss(self, layer: int, value: Array, drive: Array) -> Array:
        """As `Coupled`."""
        if layer < self.network.depth:
            return value - self._unit(layer, drive)
        n = self.network.n_outputs
        asked = self.nudge.asked(self._output, drive[..., :n], value[..., :n])
        return value - self._with_auxiliaries(drive, asked)

    def samples(self, rows: Sequence[int]) -> ShiftedLayers:
        """As `Coupled`."""
        free, nudge = self.free.samples(rows), self.nudge.samples(rows)
        return replace(self, free=free, nudge=nudge, factors=_few(self.factors, rows))

    def through(self, network: Network) -> ShiftedLayers:
        """As `Coupled`."""
        return replace(self, network=network)

    def plain(self) -> ShiftedLayers:
        """As `Coupled`."""
        return replace(self, factors=(None,) * len(self.factors))

    def _unit(self, layer: int, drive: Array) -> Array:
        unit, h, slope = (
            self.network.activation(layer),
            self.free.drive(layer),
            self.free.slope(layer),
        )
        return response(unit, h, slope, drive, self.scales[layer - 1].value)

    def _output(self, drive: Array) -> Array:
        """What the outputs with an error make of a drive, the nudge's part of it included."""
        depth, n = self.network.depth, drive.shape[-1]
        unit, h, slope = (
            self.network.activation(depth),
            self.free.drive(depth),
            self.free.slope(depth),
        )
        return response(unit, h[..., :n], slope[..., :n], drive, self.scales[-1].value)

    def _with_auxiliaries(self, drive: Array, nudged: Array) -> Array:
        """The nudged outputs, and the others, which no nudge reaches."""
        depth, n = self.network.depth, nudged.shape[-1]
        if n == drive.shape[-1]:
            return nudged
        unit, h, slope = (
            self.network.activation(depth),
            self.free.drive(depth),
            self.free.slope(depth),
        )
        rest = response(unit, h[..., n:], slope[..., n:], drive[..., n:], self.scales[-1].value)
        return namespace(drive).concat([nudged, rest], axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class WayDown(Brief):
    """Values of the layers 1 .. L on their way down, and what the way up needs to know of it.

    Attributes
    ----------
    values : L arrays (..., batch, N_l)
    responses : what the layers made of their drives, which overshooting leaves behind
    above : L - 1 arrays, what the layers 1 .. L - 1 got from above
    before, below : L arrays, values before the way down, and what the layers 1 .. L got from below
        of them; none where nothing had come from below
    """

    values: list[Array]
    responses: list[Array]
    above: list[Array]
    before: Sequence[Array]
    below: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class RoughLayers(Brief):
    """Layers whose values send changes alone through weights of less precision.

    What layers get is that of a way down, through the exact weights, and what the change of the
    values since then makes of it: of a change of 1 % float32 leaves nine digits of the whole.
    """

    exact: Coupled
    light: Coupled
    start: WayDown

    @property
    def network(self) -> Network:
        """As `Swept`."""
        return self.exact.network

    @property
    def factors(self) -> Factors:
        """As `Swept`."""
        return self.exact.factors

    def from_below(self, layer: int, below: Array) -> Array:
        """As `Swept`."""
        if layer == 1:
            return self.exact.from_below(1, below)
        change = cast(self.light.network, below - self.start.before[layer - 2])
        return self.start.below[layer - 1] + cast(self.network, self.light.sent_up(layer, change))

    def from_above(self, layer: int, above: Array) -> Array:
        """As `Swept`."""
        change = cast(self.light.network, above - self.start.values[layer])
        return self.start.above[layer - 1] + cast(
            self.network, self.light.from_above(layer, change)
        )

    def respond(self, layer: int, drive: Array, last: Array | None = None) -> Array:
        """As `Swept`."""
        return self.exact.respond(layer, drive, last)


def overshot(value: Array, before: Array, response: Array, factor: Array | None) -> Array:
    """`value`, changed by what the response changed by, times the factor."""
    return response if factor is None else value + factor * (response - before)


def _few(factors: Factors, rows: Sequence[int]) -> Factors:
    return tuple(None if one is None else take_rows(one, rows) for one in factors)


def cast(network: Network, array: Array) -> Array:
    """`array` in the precision of a network."""
    return namespace(array).astype(array, network.weights[0].dtype)


def descended(
    network: Network, free: Activity, gamma: float, nudge: Nudge
) -> tuple[ShiftedLayers, WayDown]:
    """The change to the lowest order in gamma, in scales of its own: back-propagation, but for
    what layers overshoot by.
    """
    depth, xp = network.depth, namespace(free.drive(network.depth))
    factors = relaxation(network, gamma, free.slopes, nudge.slope(free.slope(depth)))
    scales, above = [nudge.scale], [1.0]
    blank = (nudge.scale,) * depth, (0.0,) * depth, (1.0,) * depth
    layers = ShiftedLayers(network, free, nudge, *blank, factors)
    first = layers.respond(depth, xp.zeros_like(free.drive(depth)))
    descent = WayDown([first], [first], [], (), ())
    for layer in range(depth - 1, 0, -1):
        drive = layers.from_above(layer, descent.values[0])
        power = excess(drive)
        scales.insert(0, scales[0].times(gamma).shifted(power))
        above.insert(0, Scale(0.5, 1 - power).value)
        if power:
            drive = times(drive, Scale(0.5, 1 - power))
        layers = replace(layers, scales=(ONE,) * (layer - 1) + tuple(scales))
        response = layers.respond(layer, drive)
        none = xp.zeros_like(response)
        descent.responses.insert(0, response)
        descent.values.insert(0, overshot(none, none, response, factors[layer - 1]))
        descent.above.insert(0, drive)
    below = [0.0] + [scales[i].over(scales[i + 1]).value for i in range(depth - 1)]
    return replace(layers, below=tuple(below), above=tuple(above)), descent

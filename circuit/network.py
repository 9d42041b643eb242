"""Layered networks: weights, forward pass, and the pull-back of a shift (paper 2, 7).

Owns what is true of the network alone. `circuit.initialisation` makes random ones, `circuit.doors`
takes in those that were trained elsewhere.

Layers are numbered 0 (input) to L (output). Layer l has N_l units, and reads the first n_l of those
below it, through W_l (N_l, n_l); the others are *auxiliary* (paper section 7): nobody reads them
and no feedback reaches them.

    h_l = W_l y_{l-1}[:n_l] + b_l ,    y_l = f_l(h_l)                                    (Eq. 1)

An exact inverse needs square weights, n_l = N_l, in the layers 2 .. L, so that N_1 >= ... >= N_L;
W_1 is never inverted. `padded` makes them square with auxiliary units. Where a layer reads all
units below, n_l = N_{l-1}, widths are free, and a learned inverse (`circuit.learned_inverse.model`)
takes the place of the exact one.

Of the output layer, the first `n_outputs` units carry an error signal; the rest are auxiliary
outputs. Activities are `(..., batch, units)`, weights `(..., n_post, n_pre)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from circuit.activations import Activation
from circuit.checks.given import is_whole, require_kind, shown
from circuit.checks.layers import layers_taken, require_layers, require_read, require_widths
from circuit.doors.condition import warned
from circuit.doors.layers import fields_of_layers
from circuit.doors.padding import pad
from circuit.doors.sklearn_models import fields_of_sklearn
from circuit.doors.torch_modules import fields_of_torch
from circuit.errors import CircuitError, ShapeMismatch
from circuit.numerics.arrays import (
    Array,
    any_true,
    namespace,
    require_finite,
    rows_times,
    take_rows,
    widened,
)
from circuit.numerics.following_inverse import MovingWeights
from circuit.numerics.inverse import Factorised
from circuit.numerics.taken import taken
from circuit.records.brief import Brief, Rows, batch_of, counted, kind_of, same_or_each, widths_of
from circuit.units.table import activations


@dataclass(frozen=True, eq=False, repr=False)
class Network(Brief):
    """Weights and biases of the layers 1 .. L, with their activation functions.

    Attributes
    ----------
    weights : tuple of L arrays (..., N_l, n_l)
    biases : tuple of L arrays (..., N_l)
        Lists, tables and parameters of a module are taken too, and become plain arrays.
    activations : tuple of L `Activation`
        Or their names, or one for all layers.
    n_inputs : int
        N_0, at least n_1.
    n_outputs : int
        Output units that carry an error signal, at most N_L.
    notes : tuple of str
        What was done to the weights on their way here (`circuit.doors`), for reports to repeat.

    Raises
    ------
    ShapeMismatch, NotFinite, CircuitError
        On construction. Weights that are singular or not square raise `SingularWeights` when an
        inverse is first needed.

    Examples
    --------
    >>> from circuit import Network
    >>> Network.from_layers([[[1.0, 0.5]], [[2.0]]], activations="tanh")
    Network(2-1-1, tanh, 1 output)
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activations: tuple[Activation, ...]
    n_inputs: int
    n_outputs: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, name in (("weights", "W"), ("biases", "bias")):
            object.__setattr__(self, what, layers_taken(what, name, getattr(self, what)))
        object.__setattr__(self, "activations", activations(self.activations, len(self.weights)))
        require_layers(self.weights, self.biases, len(self.activations))
        require_widths(self.widths)
        require_read(self.weights, self.widths)
        if not (is_whole(self.n_outputs) and 1 <= self.n_outputs <= self.widths[-1]):
            raise CircuitError(
                f"{shown(self.n_outputs)} output units with an error signal do not fit into an "
                f"output layer of {self.widths[-1]}; give 1 to {self.widths[-1]}"
            )

    @classmethod
    def from_layers(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        activations: Any = "leaky_relu",
        **options: Any,
    ) -> Network:
        """The network of weights trained elsewhere; see `circuit.doors.layers.fields_of_layers`."""
        return cls(**fields_of_layers(weights, biases, activations, **options))._warned()

    @classmethod
    def from_torch(cls, module: Any, activations: Any = None, **options: Any) -> Network:
        """That of a PyTorch module or state: `circuit.doors.torch_modules.fields_of_torch`."""
        return cls(**fields_of_torch(module, activations, **options))._warned()

    @classmethod
    def from_sklearn(cls, model: Any, **options: Any) -> Network:
        """That of scikit-learn's MLP: `circuit.doors.sklearn_models.fields_of_sklearn`."""
        return cls(**fields_of_sklearn(model, **options))._warned()

    def padded(
        self, rows: str = "orthonormal", generator: np.random.Generator | None = None
    ) -> Network:
        """With auxiliary units that make weights square: `circuit.doors.padding.pad`.

        Its note says what was added. Raises `CircuitError` as `pad`.
        """
        padding = pad(self.weights, self.biases, rows, generator)
        notes = (*self.notes, *filter(None, [padding.words]))
        padded = replace(self, weights=padding.weights, biases=padding.biases, notes=notes)
        return padded._warned()

    def astype(self, dtype: Any) -> Network:
        """The same in another precision."""

        def cast(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(namespace(array).astype(array, dtype) for array in arrays)

        return replace(self, weights=cast(self.weights), biases=cast(self.biases))

    def _warned(self) -> Network:
        """With a note, and a warning, of weights that are near singular."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *warned(self.factors)))))

    def _words(self) -> list[str]:
        stack = [str(length) for length in self.weights[0].shape[:-2]]
        words = [
            " x ".join(stack) + " networks" if stack else "",
            widths_of(self.widths),
            same_or_each([unit.name for unit in self.activations]),
            counted(self.n_outputs, "output"),
            kind_of(self.weights[0]),
        ]
        return [word for word in words if word]

    def _rows(self) -> Rows:
        numbers = range(1, self.depth + 1)
        return [
            ("layer", "units", "reads", "activation", "auxiliary units"),
            *(
                (
                    layer,
                    self.widths[layer],
                    int(self.weights[layer - 1].shape[-1]),
                    self.activation(layer),
                    self.widths[layer] - self.n_projecting(layer),
                )
                for layer in numbers
            ),
        ]

    @property
    def depth(self) -> int:
        """L, the number of weight matrices."""
        return len(self.weights)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """N_0 .. N_L."""
        return (self.n_inputs, *(int(weights.shape[-2]) for weights in self.weights))

    def n_projecting(self, layer: int) -> int:
        """Units of `layer` that are read from above, or at the output carry an error signal."""
        return self.n_outputs if layer == self.depth else int(self.weights[layer].shape[-1])

    @cached_property
    def factors(self) -> tuple[Factorised, ...]:
        """The weights, factorised once; `factors[l-1]` belongs to W_l."""
        return tuple(Factorised(weights, layer) for layer, weights in enumerate(self.weights, 1))

    def moved(self, weights: Sequence[Array], biases: Sequence[Array]) -> Network:
        """The network after a small step, whose factors make use of those of the weights before.

        Shapes, dtypes and finiteness are taken on trust.
        """
        network = object.__new__(Network)
        vars(network).update(vars(self), weights=tuple(weights), biases=tuple(biases))
        vars(network)["factors"] = tuple(
            old.moved(new) if isinstance(old, MovingWeights) else MovingWeights(new, layer)
            for layer, (old, new) in enumerate(zip(self.factors, weights, strict=True), 1)
        )
        return network

    @property
    def has_moved(self) -> bool:
        """Whether it was made by `moved`."""
        return isinstance(self.factors[0], MovingWeights)

    def activation(self, layer: int) -> Activation:
        """The activation function of `layer`."""
        return self.activations[layer - 1]

    def push(self, layer: int, rates_below: Array, units: int | None = None) -> Array:
        """`W_l` applied to the projecting units, `(..., batch, N_{l-1}) -> (..., batch, N_l)`, or
        its first rows alone, for so many `units`.
        """
        weights = self.weights[layer - 1][..., :units, :]
        if rates_below.shape[-1] != weights.shape[-1]:
            rates_below = rates_below[..., : weights.shape[-1]]
        return rows_times(rates_below, weights)

    def drive(self, layer: int, rates_below: Array) -> Array:
        """`h_l` of those rates (Eq. 1), `(..., batch, N_{l-1}) -> (..., batch, N_l)`."""
        bias = namespace(rates_below).expand_dims(self.biases[layer - 1], axis=-2)
        return self.push(layer, rates_below) + bias

    def pull(self, layer: int, drives: Array) -> Array:
        """`W_l^-1` applied, `(..., batch, n) -> (..., batch, N_{l-1})`; 0 for auxiliary units.

        Drives of n < N_l units are those of the first ones, the others being 0. Raises
        `SingularWeights` unless W_l is square and invertible.
        """
        factors, given = self.factors[layer - 1], drives.shape[-1]
        if 2 * given <= min(drives.shape[-2], self.widths[layer]):
            # so few columns of the inverse are had for less than the solutions of the batch
            columns = factors.columns(drives)
            rates = rows_times(drives, namespace(drives).matrix_transpose(columns))
        else:
            rates = factors.solve(widened(drives, self.widths[layer]))
        return widened(rates, self.widths[layer - 1])

    def squared_lengths(self, layer: int) -> Array:
        """N_l^2, the sum of the squared weights of each unit's row, `(..., N_l)`."""
        return self.factors[layer - 1].squared_lengths

    def pull_transposed(self, layer: int, drives: Array) -> Array:
        """`W_l^T` applied, as `pull`."""
        xp = namespace(drives)
        rows = self.weights[layer - 1][..., : drives.shape[-1], :]
        return widened(rows_times(drives, xp.matrix_transpose(rows)), self.widths[layer - 1])


@dataclass(frozen=True, eq=False, repr=False)
class Activity(Brief):
    """A forward pass, or the free phase of a circuit that has another.

    Attributes
    ----------
    rates : tuple of L+1 arrays (..., batch, N_l)
        y_0 (the input) to y_L.
    drives : tuple of L arrays (..., batch, N_l)
        h_1 to h_L.
    slopes : tuple of L arrays (..., batch, N_l)
        f'(h_1) to f'(h_L), the diagonals of A_1 to A_L.

    Examples
    --------
    >>> from circuit import Network, forward
    >>> forward(Network.from_layers([[[1, 2]]], activations="linear"), [[3, 4]]).rates[1]
    array([[11.]])
    """

    rates: tuple[Array, ...]
    drives: tuple[Array, ...]
    slopes: tuple[Array, ...]

    def _words(self) -> list[str]:
        widths = [int(rates.shape[-1]) for rates in self.rates]
        return [widths_of(widths), batch_of(self.rates[0].shape)]

    def drive(self, layer: int) -> Array:
        """The drives h of `layer`."""
        return self.drives[layer - 1]

    def slope(self, layer: int) -> Array:
        """f'(h) of `layer`."""
        return self.slopes[layer - 1]

    def samples(self, rows: Sequence[int]) -> Activity:
        """That of some samples of the batch (of one network, not of a stack)."""
        each = (self.rates, self.drives, self.slopes)
        return Activity(*(tuple(take_rows(array, rows) for array in arrays) for arrays in each))


def require_activity(network: Network, activity: Activity) -> None:
    """Raise `ShapeMismatch` unless the activity can be one of this network."""
    require_kind("network", network, Network)
    require_kind("activity", activity, Activity)
    namespace(*activity.rates)
    found = [tuple(rates.shape) for rates in activity.rates]
    wanted = [(*found[0][:-1], width) for width in network.widths]
    if found != wanted:
        raise ShapeMismatch(f"activity of shapes {found}; this network needs {wanted}")


def forward(network: Network, inputs: Array, mismatches: Sequence[Array] | None = None) -> Activity:
    """The forward pass (Eq. 1).

    Parameters
    ----------
    inputs : array (..., batch, N_0), of the dtype of the weights
        Or what `taken` makes one of: a list, a table; float64 for float32 is rounded.
    mismatches : L arrays (..., batch, N_l), added to the rates of the layers on the way up, which
        makes them those of a circuit whose feedback does not agree with the forward pass

    Raises
    ------
    ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import Network, forward
    >>> network = Network.from_layers([[[1, 2]], [[-3]]], activations="leaky_relu")
    >>> forward(network, [[3, 4], [0, 1]]).rates[2]
    array([[-3.3],
           [-0.6]])
    """
    require_kind("network", network, Network)
    inputs = taken("inputs", inputs, network.weights[0])
    xp = namespace(inputs, network.weights[0])
    if inputs.ndim < 2 or inputs.shape[-1] != network.n_inputs:
        raise ShapeMismatch(
            f"inputs have shape {tuple(inputs.shape)}; the network needs "
            f"(..., batch, {network.n_inputs})"
        )
    if inputs.dtype != network.weights[0].dtype:
        raise ShapeMismatch(
            f"inputs have dtype {inputs.dtype}, the weights {network.weights[0].dtype}; convert one"
        )
    require_finite(inputs, "inputs", "remove or replace such entries")
    rates, drives, slopes = [inputs], [], []
    for layer in range(1, network.depth + 1):
        drives.append(network.drive(layer, rates[-1]))
        unit = network.activation(layer)
        rates.append(unit.value(drives[-1]))
        slopes.append(unit.slope(drives[-1]))
        if mismatches is not None:
            rates[-1] = rates[-1] + mismatches[layer - 1]
    if any_true(~xp.isfinite(rates[-1])):
        for layer, values in enumerate(rates[1:], 1):  # the first that is not finite is named
            name = f"the forward pass at layer {layer}"
            require_finite(values, name, "use smaller weights or inputs")
    return Activity(tuple(rates), tuple(drives), tuple(slopes))

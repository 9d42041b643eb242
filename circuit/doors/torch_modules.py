"""Networks that PyTorch has trained.

Owns which modules are understood. PyTorch is imported only by whoever gives one of its modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuit.activations import Activation
from circuit.checks.given import shown
from circuit.doors.layers import Fields, fields_of_layers
from circuit.doors.units import RELU_SLOPE
from circuit.errors import CircuitError
from circuit.units.leaky_relu import leaky_relu

SILENT = ("Flatten", "Dropout", "AlphaDropout", "Identity")  # without effect once trained
UNITS = ("ReLU", "Tanh", "Sigmoid", "Softmax", "LogSoftmax")
REMEDY = (
    "give layers of nn.Linear with ReLU, LeakyReLU, Tanh, Sigmoid or Softmax between them, or the "
    "weights to Network.from_layers"
)


def fields_of_torch(
    module: Any,
    activations: str | Activation | Sequence[str | Activation] | None = None,
    *,
    relu_slope: float = RELU_SLOPE,
) -> Fields:
    """The fields of the network of an `nn.Module` of linear layers, or of its `state_dict()`.

    Parameters
    ----------
    module
        Its linear layers are taken in the order in which it holds them, which is that of the
        forward pass for `nn.Sequential`.
    activations
        One for all layers or one each, in place of the modules that follow the linear ones. A state
        has none, and needs them. A layer that nothing follows is linear.
    relu_slope : as in `fields_of_layers`

    Raises
    ------
    CircuitError, ShapeMismatch
    """
    if isinstance(module, Mapping):
        return _from_state(module, activations, relu_slope)
    if not hasattr(module, "modules") or not hasattr(module, "state_dict"):
        raise CircuitError(f"{shown(type(module).__name__)} is no module of PyTorch; {REMEDY}")
    weights: list[Any] = []
    biases: list[Any] = []
    units: list[str | Activation] = []
    for _, part in module.named_modules(remove_duplicate=False):
        name = type(part).__name__
        if next(iter(part.children()), None) is not None or name in SILENT:
            continue
        if name == "Linear":
            weights.append(part.weight)
            biases.append(part.bias)
            units.append("linear")
        elif not (weights and units[-1] == "linear") or not (found := _unit(part, name)):
            raise CircuitError(f"a {name} has no place in such a network; {REMEDY}")
        else:
            units[-1] = found
    if not weights:
        raise CircuitError(f"{type(module).__name__} has no linear layers; {REMEDY}")
    calls_them_itself = type(module).__name__ != "Sequential"
    if activations is None and calls_them_itself and "linear" in units[:-1]:
        which = f"function for layer {units.index('linear') + 1}"
        raise CircuitError(
            f"{type(module).__name__} holds no activation "
            f"{'functions' if set(units[:-1]) == {'linear'} else which}; say which its forward "
            "pass calls, one for each layer: activations=('tanh', 'linear')"
        )
    return fields_of_layers(
        weights, biases, units if activations is None else activations, relu_slope=relu_slope
    )


def _unit(part: Any, name: str) -> str | Activation | None:
    """The unit of a module; None for what is none."""
    if name == "LeakyReLU":
        return leaky_relu(part.negative_slope)
    return name if name in UNITS else None


def _from_state(state: Mapping[str, Any], activations: Any, relu_slope: float) -> Fields:
    """Those of `state_dict()`: a name.weight and a name.bias for each linear layer."""
    if activations is None:
        raise CircuitError(
            "a state has weights and no activation functions; say which, one for each layer: "
            "activations=('tanh', 'linear')"
        )
    words = [name for name in state if isinstance(name, str) and name.endswith("weight")]
    names = [name.removesuffix("weight") for name in words]
    known = {*words, *(f"{name}bias" for name in names)}
    surplus = [name for name in state if name not in known]
    odd = [name for name in names if getattr(state[f"{name}weight"], "ndim", 0) != 2]
    if not names or surplus or odd:
        keys = surplus or [f"{name}weight" for name in odd]
        found = ", ".join(map(shown, keys[:3])) or "nothing"
        raise CircuitError(f"a state with {found} is not one of linear layers; {REMEDY}")
    return fields_of_layers(
        [state[f"{name}weight"] for name in names],
        [state.get(f"{name}bias") for name in names],
        activations,
        relu_slope=relu_slope,
    )

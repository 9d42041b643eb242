"""Networks that scikit-learn has trained.

Owns which of a model's attributes say what. Needs no scikit-learn: a model brings its own.
"""

from __future__ import annotations

from typing import Any

from circuit.checks.given import shown
from circuit.doors.layers import Fields, fields_of_layers
from circuit.doors.units import RELU_SLOPE
from circuit.errors import CircuitError


def fields_of_sklearn(model: Any, *, relu_slope: float = RELU_SLOPE) -> Fields:
    """The fields of the network of a trained `MLPClassifier` or `MLPRegressor`.

    Its outputs are the classes in the order of `model.classes_`, before the softmax; one logistic
    output for two classes. Parameters as in `fields_of_layers`.

    Raises
    ------
    CircuitError
        For a model that is no such network, or not yet trained.
    """
    names = ("activation", "fit", "hidden_layer_sizes")
    if not all(hasattr(model, name) for name in names):
        raise CircuitError(
            f"{shown(type(model).__name__)} is no network of scikit-learn; give an MLPClassifier "
            "or MLPRegressor (of a pipeline, its last step)"
        )
    if not hasattr(model, "coefs_"):
        raise CircuitError(f"{type(model).__name__} is not trained yet; call its fit first")
    hidden = [model.activation] * (len(model.coefs_) - 1)
    return fields_of_layers(
        [W.T for W in model.coefs_],  # (n_in, n_out) there
        model.intercepts_,
        [*hidden, model.out_activation_],
        relu_slope=relu_slope,
    )

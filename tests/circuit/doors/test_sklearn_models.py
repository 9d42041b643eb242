"""Networks of scikit-learn: its own predictions are the expectation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from circuit.errors import CircuitError
from circuit.labels.answers import accuracy, outputs, predict
from circuit.network import Network


@pytest.fixture
def images(rng):
    """And labels of three classes."""
    return rng.standard_normal((60, 5)), np.arange(60) % 3


def fitted(model, images, labels):
    """The model after a few steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(images, labels)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh"])
def test_a_classifier_keeps_its_probabilities(images, activation):
    model = MLPClassifier((8, 4), activation=activation, max_iter=20, random_state=1)
    fitted(model, *images)
    network = Network.from_sklearn(model)
    assert network.widths == (5, 8, 4, 3)
    wanted = model.predict_proba(images[0])
    np.testing.assert_allclose(softmax(outputs(network, images[0]), axis=1), wanted, rtol=1e-10)
    np.testing.assert_array_equal(predict(network, images[0]), model.predict(images[0]))
    assert accuracy(network, *images) == model.score(*images)


def test_relu_is_told_and_its_slope_vanishing_gives_scikit_learns_network(images):
    model = fitted(MLPClassifier((8, 4), max_iter=20, random_state=1), *images)
    network = Network.from_sklearn(model, relu_slope=1e-12)
    wanted = model.predict_proba(images[0])
    np.testing.assert_allclose(softmax(outputs(network, images[0]), axis=1), wanted, rtol=1e-9)
    assert any("1e-12" in note for note in network.notes)


def test_two_classes_have_one_output(images):
    labels = images[1] % 2
    model = fitted(
        MLPClassifier((4,), activation="tanh", max_iter=20, random_state=1), images[0], labels
    )
    network = Network.from_sklearn(model)
    wanted = model.predict_proba(images[0])[:, 1]
    np.testing.assert_allclose((1 + outputs(network, images[0])[:, 0]) / 2, wanted, rtol=1e-10)
    np.testing.assert_array_equal(predict(network, images[0]), model.predict(images[0]))


def test_a_regressor_keeps_its_numbers(images, rng):
    wanted = rng.standard_normal((60, 2))
    model = fitted(
        MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=20), images[0], wanted
    )
    network = Network.from_sklearn(model)
    np.testing.assert_allclose(outputs(network, images[0]), model.predict(images[0]), rtol=1e-10)


def test_float32_stays_float32(images):
    model = fitted(
        MLPClassifier((4,), activation="tanh", max_iter=5), images[0].astype(np.float32), images[1]
    )
    assert Network.from_sklearn(model).weights[0].dtype == np.float32


def test_what_is_no_trained_network_is_refused():
    with pytest.raises(CircuitError, match="not trained yet; call its fit first"):
        Network.from_sklearn(MLPClassifier())
    with pytest.raises(CircuitError, match="'LogisticRegression' is no network"):
        Network.from_sklearn(LogisticRegression())

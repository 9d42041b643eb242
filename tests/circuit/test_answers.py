"""What a network says of an image: the outputs with a target, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.errors import ShapeMismatch
from circuit.labels.answers import accuracy, outputs, predict
from circuit.network import Network

# drives of five outputs for two inputs, of which the first three have a target
ROWS = [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [9.0, 9.0], [7.0, -7.0]]
IMAGES = np.array([[2.0, 1.0], [1.0, 2.0], [-3.0, -3.0], [5.0, 0.0]])


def network(n_outputs=3):
    """Linear, so that the outputs are the rows applied to an image."""
    return Network.from_layers([ROWS], activations="linear", n_outputs=n_outputs)


def test_the_largest_output_that_has_a_target_is_the_class():
    np.testing.assert_array_equal(predict(network(), IMAGES), [0, 1, 2, 0])
    np.testing.assert_array_equal(outputs(network(), IMAGES)[0], [2, 1, -3])
    np.testing.assert_array_equal(predict(network(5), IMAGES), [3, 3, 2, 3])  # the control


def test_accuracy_is_the_fraction_that_is_right():
    assert accuracy(network(), IMAGES, [0, 1, 1, 0]) == 0.75


def test_one_output_says_yes_above_zero():
    np.testing.assert_array_equal(predict(network(1), IMAGES), [1, 1, 0, 1])


def test_tensors_are_answered_in_numpy():
    torch = pytest.importorskip("torch")
    as_tensors = Network(
        weights=(torch.asarray(ROWS, dtype=torch.float64),),
        biases=(torch.zeros(5, dtype=torch.float64),),
        activations="linear",
        n_inputs=2,
        n_outputs=3,
    )
    assert accuracy(as_tensors, torch.asarray(IMAGES), torch.asarray([0, 1, 2, 0])) == 1


@pytest.mark.parametrize("labels", [[0, 1], np.eye(3)[[0, 1, 2, 0]]])
def test_labels_are_one_number_an_image(labels):
    with pytest.raises(ShapeMismatch, match="one label each"):
        accuracy(network(), IMAGES, labels)

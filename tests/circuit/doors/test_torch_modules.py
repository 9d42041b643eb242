"""Networks of PyTorch: its own forward pass is the expectation."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.labels.answers import outputs
from circuit.network import Network

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture
def images():
    """Seven of them, 2 x 3 pixels."""
    return torch.asarray(np.random.default_rng(3).standard_normal((7, 2, 3)))


def double(*modules):
    """In float64, with weights drawn anew."""
    torch.manual_seed(5)
    return nn.Sequential(*modules).double().eval()


@pytest.mark.parametrize(
    "units",
    [
        (nn.Tanh(), nn.Tanh(), nn.Identity()),
        (nn.LeakyReLU(0.2), nn.LeakyReLU(0.05), nn.Tanh()),
        (nn.Sigmoid(), nn.Tanh(), nn.Identity()),
    ],
    ids=["tanh", "leaky", "logistic"],
)
def test_a_sequential_network_keeps_its_outputs(images, units):
    module = double(
        nn.Flatten(),
        nn.Linear(6, 8),
        units[0],
        nn.Dropout(0.5),
        nn.Sequential(nn.Linear(8, 4, bias=False), units[1]),
        nn.Linear(4, 3),
        units[2],
    )
    network = Network.from_torch(module)
    with torch.no_grad():
        wanted = module(images).numpy()
    found = outputs(network, images.reshape(7, 6).numpy())
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_relu_and_softmax_are_told(images):
    module = double(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
    network = Network.from_torch(module, relu_slope=1e-13)
    found = torch.softmax(torch.asarray(outputs(network, images.reshape(7, 6).numpy())), dim=1)
    with torch.no_grad():
        wanted = module(images.reshape(7, 6))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert ["ReLU" in network.notes[0], "cross_entropy" in network.notes[1]] == [True, True]


class Own(nn.Module):
    """A module that calls its activation functions itself."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 2)

    def forward(self, x):
        """Tanh between the two."""
        return self.second(torch.tanh(self.first(x)))


def test_a_module_that_calls_its_units_itself_needs_their_names(images):
    module = Own().double()
    with pytest.raises(CircuitError, match=r"Own holds no activation functions; say which"):
        Network.from_torch(module)
    network = Network.from_torch(module, activations=("tanh", "linear"))
    wanted = module(images.reshape(7, 6)).detach().numpy()
    np.testing.assert_allclose(outputs(network, images.reshape(7, 6).numpy()), wanted, rtol=1e-12)


def test_a_unit_that_stands_in_several_places_is_taken_in_each(images):
    unit = nn.Tanh()
    module = double(nn.Linear(6, 5), unit, nn.Linear(5, 4), unit, nn.Linear(4, 2))
    network = Network.from_torch(module)
    wanted = module(images.reshape(7, 6)).detach().numpy()
    np.testing.assert_allclose(outputs(network, images.reshape(7, 6).numpy()), wanted, rtol=1e-12)


class Shared(nn.Module):
    """A module that holds one unit and calls it after two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.unit = nn.Linear(6, 5), nn.Tanh()
        self.second, self.third = nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, x):
        """Tanh twice."""
        return self.third(self.unit(self.second(self.unit(self.first(x)))))


def test_a_module_that_holds_fewer_units_than_hidden_layers_needs_their_names(images):
    module = Shared().double()
    with pytest.raises(CircuitError, match="Shared holds no activation function for layer 2; say"):
        Network.from_torch(module)
    network = Network.from_torch(module, ("tanh", "tanh", "linear"))
    wanted = module(images.reshape(7, 6)).detach().numpy()
    np.testing.assert_allclose(outputs(network, images.reshape(7, 6).numpy()), wanted, rtol=1e-12)


def test_a_state_needs_them_too(images):
    module = Own()
    state = module.state_dict()
    with pytest.raises(CircuitError, match="a state has weights and no activation functions"):
        Network.from_torch(state)
    network = Network.from_torch(state, ("tanh", "linear"))
    assert network.weights[0].dtype == np.float32
    flat = images.reshape(7, 6).float()
    wanted = module(flat).detach().numpy()
    np.testing.assert_allclose(outputs(network, flat.numpy()), wanted, rtol=2e-5)


def test_half_precision_is_taken_to_float32():
    module = nn.Sequential(nn.Linear(3, 2)).to(torch.bfloat16)
    network = Network.from_torch(module)
    assert network.weights[0].dtype == np.float32
    np.testing.assert_array_equal(network.weights[0], module[0].weight.float().detach().numpy())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)), "a Conv2d has no place"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "a BatchNorm1d has no place"),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh()), "a Tanh has no place"),
        (nn.Sequential(nn.Tanh()), "a Tanh has no place"),
        (nn.Sequential(nn.Flatten()), "has no linear layers"),
        ("model.pt", "'str' is no module of PyTorch"),
    ],
    ids=["conv", "norm", "twice", "first", "none", "name"],
)
def test_what_is_no_such_network_is_refused(given, words):
    with pytest.raises(CircuitError, match=words) as refusal:
        Network.from_torch(given)
    assert "\n" not in str(refusal.value)


def test_a_state_of_other_layers_is_refused():
    state = nn.Sequential(nn.Conv2d(1, 2, 3)).state_dict()
    with pytest.raises(CircuitError, match=r"'0\.weight' is not one of linear layers"):
        Network.from_torch(state, "tanh")
    state = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    with pytest.raises(CircuitError, match="is not one of linear layers"):
        Network.from_torch(state, "tanh")


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({0: np.ones((2, 2))}, "0"),
        ({None: np.ones(2)}, "None"),
        ({("a", "weight"): np.ones((2, 2))}, r"\('a', 'weight'\)"),
        ({b"1.weight": np.ones((2, 2))}, "b'1.weight'"),
        ({"": np.ones((2, 2))}, "''"),
        ({"other.bias": np.ones(2)}, "'other.bias'"),
        ({"a\nb": np.ones(2)}, r"'a\\nb'"),
    ],
)
def test_a_state_with_odd_keys_is_refused_in_one_line_that_names_them(more, key):
    state = dict(nn.Linear(3, 2).state_dict())
    assert Network.from_torch(state, "tanh").widths == (3, 2)
    with pytest.raises(
        CircuitError, match=f"^a state with {key} is not .*; give layers of"
    ) as told:
        Network.from_torch(state | more, "tanh")
    assert "\n" not in str(told.value)
    with pytest.raises(CircuitError, match="^a state with nothing is not one of linear layers"):
        Network.from_torch({}, "tanh")

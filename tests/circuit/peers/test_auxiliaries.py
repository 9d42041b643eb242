"""Auxiliary outputs follow at the end, and are what the equations say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.peers.auxiliaries import push_up, with_auxiliaries


def test_auxiliary_outputs_may_follow_later(rng: np.random.Generator) -> None:
    """A push without them is the whole one elsewhere; with them the forward pass is what it was."""
    network = initialise([9, 7, 7], rng, activation="tanh", n_outputs=3)
    network = replace(network, biases=tuple(rng.standard_normal(b.shape) for b in network.biases))
    x = rng.standard_normal((5, 9))
    activity = forward(network, x)
    below = activity.rates[1]
    whole, some = network.push(2, below), push_up(network, 2, below)
    np.testing.assert_allclose(some[:, :3], whole[:, :3], rtol=1e-13)
    assert not some[:, 3:].any()
    assert whole[:, 3:].all()
    np.testing.assert_array_equal(push_up(network, 1, x), network.push(1, x))
    ends = activity.rates[-1], activity.drives[-1], activity.slopes[-1]
    blank = [np.where(np.arange(7) < 3, end, 9.0) for end in ends]
    for found, wanted in zip(with_auxiliaries(network, below, *blank), ends, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)

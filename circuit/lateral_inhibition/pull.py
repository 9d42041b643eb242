"""What a step of learning asks of whatever keeps its weights orthogonal.

Owns the questions, and the answers of one that does nothing. Does not own any that does something:
`companions` of lateral inhibition, `circuit.learning.regulariser`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from circuit.network import Activity, Network
from circuit.numerics.arrays import Array

Companions = Mapping[str, tuple[Array, ...]]
Turn = Callable[[int, Array], Array]  # layer from 0, its direction (given up) -> the one with pull


class Pull:
    """No pull. What learns is the weights of the network, and nothing beside them."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the companions without which a step cannot be made."""
        return ()

    def companions(self, network: Network, keys: Array | None) -> Companions:
        """What is needed beside the network.

        Parameters
        ----------
        keys : int64 array (...), one for each network of a stack; 0 by default

        Raises `CircuitError` where the layers do not allow it.
        """
        return {}

    def turned(
        self, network: Network, activity: Activity, companions: Companions, step: int, made: int
    ) -> tuple[Turn, Companions]:
        """How the direction that the rule teaches is turned, and the companions a step later.

        Parameters
        ----------
        activity : from which the rule has learnt
        step : of the learner, which decides what is random in it
        made : steps of the network itself so far

        Raises `CircuitError`.
        """
        return lambda layer, direction: direction, companions

    def synapses(self, network: Network, companions: Companions) -> tuple[Array, ...]:
        """What learns by the rule."""
        return network.weights

    def acted(
        self, activity: Activity, companions: Companions, synapses: tuple[Array, ...]
    ) -> tuple[tuple[Array, ...], Companions]:
        """The weights of the network once its synapses have learnt, and the companions.

        Raises `CircuitError`, or `NotFinite`.
        """
        return synapses, companions

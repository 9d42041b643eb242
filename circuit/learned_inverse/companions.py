"""What carries targets down in a lesson where it is not the exact inverse.

Owns what a step of learning asks of it: the companions of a learner in which an inverse model
lives, and its practice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from circuit.learned_inverse.inverse_model import InverseModel, pseudo_inverse_model
from circuit.learned_inverse.model import (
    BIASES,
    KEYS,
    WEIGHTS,
    practised,
    random_model,
)
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, all_finite, require_finite
from circuit.settings.learned_inverse import SIMULTANEOUS, LearnedInverseSettings

Companions = Mapping[str, tuple[Array, ...]]


class Inverse(ABC):
    """What a step of learning asks, and the answers of an inverse that does not learn."""

    corrected: bool = True  # whether it sends only deviations down

    def needed(self, depth: int) -> tuple[str, ...]:
        """Names of the companions without which a step cannot be made."""
        return ()

    def companions(self, network: Network, keys: Array) -> Companions:
        """What learns beside the network, `keys` being one for each network of a stack."""
        return {}

    def practise(
        self, network: Network, activity: Activity, companions: Companions, step: int
    ) -> tuple[Companions, Companions]:
        """The companions through which a step goes, and those that it leaves.

        Parameters
        ----------
        activity : the forward pass, from which it learns
        step : of the learner

        Raises `NotFinite` with the layer where it has come to infinity.
        """
        return companions, companions

    def network_steps(self, steps: int) -> int:
        """In how many of the first `steps` the network learns."""
        return steps

    @abstractmethod
    def model(self, network: Network, companions: Companions) -> InverseModel:
        """What targets go through."""


@dataclass(frozen=True)
class PseudoInverse(Inverse):
    """The pseudo-inverse of weights of any shape.

    Examples
    --------
    >>> from circuit.learned_inverse import PseudoInverse
    >>> from circuit.learning import Lesson
    >>> Lesson(inverse=PseudoInverse()).inverse
    PseudoInverse()
    """

    def model(self, network: Network, companions: Companions) -> InverseModel:
        """As `Inverse.model`."""
        return pseudo_inverse_model(network)


@dataclass(frozen=True)
class LearnedInverse(LearnedInverseSettings, Inverse):
    """Feedback weights that start random and learn. See `LearnedInverseSettings`.

    Examples
    --------
    >>> from circuit.learned_inverse import LearnedInverse
    >>> from circuit.learning import Lesson
    >>> Lesson(inverse=LearnedInverse(noise=0.5, corrected=False)).inverse.noise
    0.5
    """

    def needed(self, depth: int) -> tuple[str, ...]:
        """Keys of what is random, and the model, of which a single layer has nothing."""
        return (KEYS, WEIGHTS, BIASES) if depth > 1 else (KEYS,)

    def companions(self, network: Network, keys: Array) -> Companions:
        """As `Inverse.companions`: a random model."""
        return {KEYS: (keys,), **_companions(random_model(network, keys))}

    def practise(
        self, network: Network, activity: Activity, companions: Companions, step: int
    ) -> tuple[Companions, Companions]:
        """As `Inverse.practise`."""
        again = self.steps_in(step)
        if again == 0:
            return companions, companions
        model = practised(
            model_of(companions), network, activity, self, companions[KEYS][0], step, again
        )
        if not all_finite((*model.weights, *model.biases)):
            for layer, array in enumerate(model.weights, 2):
                remedy = "use a lower inverse rate or learning rate"
                require_finite(array, f"the learned inverse of layer {layer}", remedy)
        learnt = {**companions, **_companions(model)}
        return companions if self.order == SIMULTANEOUS else learnt, learnt

    def model(self, network: Network, companions: Companions) -> InverseModel:
        """As `Inverse.model`: what it has learnt."""
        return model_of(companions)


def model_of(companions: Companions) -> InverseModel:
    """The inverse model among the companions; one of no layers in a network of one layer."""
    return InverseModel(companions.get(WEIGHTS, ()), companions.get(BIASES, ()))


def _companions(model: InverseModel) -> Companions:
    return {WEIGHTS: model.weights, BIASES: model.biases}

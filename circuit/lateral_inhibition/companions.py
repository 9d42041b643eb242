"""Lateral inhibition beside a learning network: what it adds to a step of learning.

Owns the companions in which lateral synapses live: of inhibition that teaches (`teaching`) and of
inhibition that acts (`acting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import array_api_compat

from circuit.errors import CircuitError
from circuit.lateral_inhibition import acting, teaching
from circuit.lateral_inhibition.pull import Companions, Pull, Turn
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, all_finite, namespace, require_finite
from circuit.settings.pull import TASK, DecorrelationSettings, InhibitionSettings


@dataclass(frozen=True, kw_only=True)
class Inhibition(InhibitionSettings, Pull):
    """Inhibition that teaches the synapses, in place of Eq. 23. See `InhibitionSettings`.

    Examples
    --------
    >>> from circuit.lateral_inhibition import Inhibition
    >>> from circuit.learning import Lesson
    >>> Lesson(pull=Inhibition(0.2, mechanism="whitening")).pull.strength
    0.2
    """

    @property
    def needed(self) -> tuple[str, ...]:
        """Lateral synapses, and the keys of spontaneous activity."""
        names = teaching.MECHANISMS[self.mechanism].names
        return (*names, teaching.KEYS) if self.strength > 0 else ()

    def companions(self, network: Network, keys: Array | None) -> Companions:
        """As `Pull.companions`."""
        weights = network.weights
        if keys is None:
            xp, device = namespace(weights[0]), array_api_compat.device(weights[0])
            keys = xp.zeros(weights[0].shape[:-2], dtype=xp.int64, device=device)
        return teaching.first_circuits(self.mechanism, weights, keys)

    def turned(
        self, network: Network, activity: Activity, companions: Companions, step: int, made: int
    ) -> tuple[Turn, Companions]:
        """As `Pull.turned`. Raises `CircuitError` where a lateral circuit has no stable rest."""
        strength = self.in_step(made)
        if strength == 0:
            return super().turned(network, activity, companions, step, made)
        rates, weights = self._presynaptic(network, activity, companions, step), network.weights
        taught, companions = teaching.teach_all(
            self.mechanism, companions, weights, rates, self.rate, strength
        )
        return lambda layer, direction: direction + taught[layer], companions

    def _presynaptic(
        self, network: Network, activity: Activity, companions: Companions, step: int
    ) -> list[Array]:
        """The rates that every layer reads while inhibition teaches."""
        if self.during == TASK:
            return _read(activity, network.weights)
        (keys,) = companions[teaching.KEYS]
        return [
            teaching.spontaneous(keys, step, layer, self.samples, one)
            for layer, one in enumerate(network.weights, 1)
        ]


@dataclass(frozen=True, kw_only=True)
class Decorrelation(DecorrelationSettings, Pull):
    """Inhibition that acts while the task is done. See `DecorrelationSettings`.

    Examples
    --------
    >>> from circuit.lateral_inhibition import Decorrelation
    >>> from circuit.learning import Lesson
    >>> Lesson(pull=Decorrelation(place="decorrelated_inputs")).pull.rate
    0.3
    """

    @property
    def needed(self) -> tuple[str, ...]:
        """The synapses without inhibition, and the lateral ones."""
        return acting.SYNAPSES, acting.LATERAL

    def companions(self, network: Network, keys: Array | None) -> Companions:
        """As `Pull.companions`."""
        return acting.first_synapses(self.place, network.weights)

    def turned(
        self, network: Network, activity: Activity, companions: Companions, step: int, made: int
    ) -> tuple[Turn, Companions]:
        """As `Pull.turned`: what the synapses W learn in, from what was found for R W or W R."""
        lateral = companions[acting.LATERAL]
        return (
            lambda layer, direction: acting.through(self.place, direction, lateral[layer])
        ), companions

    def synapses(self, network: Network, companions: Companions) -> tuple[Array, ...]:
        """The synapses without inhibition."""
        return companions[acting.SYNAPSES]

    def acted(
        self, activity: Activity, companions: Companions, synapses: tuple[Array, ...]
    ) -> tuple[tuple[Array, ...], Companions]:
        """Effective weights once the synapses and then inhibition have learnt, and the companions.

        Raises
        ------
        CircuitError, NotFinite
            With the layer, where inhibition has no stable rest or weights are not finite.
        """
        lateral, weights = [], []
        inputs = _read(activity, synapses)
        for i, one in enumerate(synapses):
            old = companions[acting.LATERAL][i]
            new = acting.learn(self.place, old, activity.drives[i], inputs[i], self.rate)
            try:
                weights.append(acting.effective(self.place, one, new))
            except CircuitError as error:
                raise CircuitError(f"layer {i + 1}: {error}") from None
            lateral.append(new)
        if not all_finite(weights):
            for layer, one in enumerate(weights, 1):
                remedy = "use a lower learning rate or lateral rate"
                require_finite(one, f"the inhibited W of layer {layer}", remedy)
        own = {acting.SYNAPSES: synapses, acting.LATERAL: tuple(lateral)}
        return tuple(weights), {**companions, **own}


def _read(activity: Activity, weights: Sequence[Array]) -> list[Array]:
    """The rates that every layer reads."""
    return [
        below[..., : one.shape[-1]] for below, one in zip(activity.rates[:-1], weights, strict=True)
    ]

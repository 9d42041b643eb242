"""What a rule is: one form for back-propagation, the circuit, and every theory beside them.

Owns the form. Every rule stands in a file of its own that ends in `RULE = Rule(...)`, and in one
line of the table of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from circuit.losses import Loss
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array
from circuit.peers.signal import Signal
from circuit.plasticity import Update
from circuit.settings.declaration import Record

Companions = Mapping[str, tuple[Array, ...]]  # name -> arrays that live beside a network


def no_companions(network: Network, settings: Any, keys: Array) -> Companions:
    """Nothing lives beside the network."""
    return {}


def no_practice(
    network: Network, activity: Activity, companions: Companions, settings: Any, step: int
) -> Companions:
    """Nothing beside the network learns."""
    return companions


@dataclass(frozen=True)
class Rule:
    """One theory of what a layer should learn from.

    Attributes
    ----------
    name : in options, tables and results
    words : in one line, for `--help` and tables
    reference : the paper
    settings : the record of what it can be set to, a frozen dataclass (`circuit.settings.peers`)
    signal : (network, activity, targets, loss, settings, companions, step) -> Signal
        `activity` is the forward pass, targets `(..., batch, n_outputs)`, `loss` a name in `LOSSES`
        or a function; `step` is the number of the step of learning, for what is random. Raises
        `CircuitError` in one line, with the remedy, for what the rule cannot do
    companions : (network, settings, keys) -> arrays that live beside the network, such as feedback
        weights, each with the stack's leading axes; `keys` is int64 (...), one a network, from
        which all that is random follows (`circuit.numerics.keyed_random`)
    practise : (network, activity, companions, settings, step) -> companions after one step in which
        they learn, before the network does
    needs_inverse : whether it inverts the weights, which must then be square (auxiliary units)
    auxiliaries : whether it takes networks with auxiliary units
    own_gradient : (network, signal, targets, loss, settings) -> Updates
        -dL/dW and -dL/db at the rule's own equilibrium, where that is not the forward pass: what
        the rule is to be held against beside back-propagation. None where there is no such thing
    settles : whether its equations are solved image by image, so that its signal has a `rest`

    Examples
    --------
    One that is written out stands beside `circuit.peers.table.register`.

    >>> from circuit.learning import Lesson
    >>> rule = Lesson("pc").of_table
    >>> rule.reference, rule.settles, rule.needs_inverse
    ('Whittington and Bogacz 2017', True, False)
    """

    name: str
    words: str
    reference: str
    settings: type[Record]
    signal: Callable[[Network, Activity, Array, str | Loss, Any, Companions, int], Signal]
    companions: Callable[[Network, Any, Array], Companions] = no_companions
    practise: Callable[[Network, Activity, Companions, Any, int], Companions] = no_practice
    needs_inverse: bool = False
    auxiliaries: bool = True
    own_gradient: Callable[[Network, Signal, Array, str | Loss, Any], tuple[Update, ...]] | None = (
        None
    )
    settles: bool = False

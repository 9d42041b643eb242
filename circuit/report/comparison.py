"""What a settled circuit says about its targets, layer by layer.

Owns the comparison of one equilibrium with every rule, and the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from html import escape

import numpy as np

from circuit.errors import CircuitError, NotFinite, TargetOutOfRange
from circuit.learned_inverse.model import propagate_learned
from circuit.numerics.arrays import epsilon, flattened, row_norms, to_numpy
from circuit.outcome import Equilibrium
from circuit.peers.table import TABLE
from circuit.plasticity import Update, updates
from circuit.records.brief import Brief
from circuit.records.reached import reached
from circuit.report.alignment import Agreement, agreement
from circuit.report.deviation import Deviation, deviations, update_bound
from circuit.report.digits import digits_apart
from circuit.rules import RULES
from circuit.shifts import Shifts
from circuit.trial import Trial

DECISIVE = 0.5  # relative error beyond which two updates never agree; a bound of that decides none


class Outcome(Enum):
    """What a settled circuit turned out to be; the values are exit statuses."""

    AGREES = 0
    DISAGREES = 1
    UNDECIDED = 3


@dataclass(frozen=True, repr=False)
class LayerReport(Brief):
    """One layer of a settled circuit.

    Attributes
    ----------
    layer : 1 .. L
    log10_shift, log10_prediction : of the root-mean-square norm over samples of the shift; the
        prediction is the circuit's gain times the direction of the rule that its pathway stands for
    log10_floor : of eps times the norm of the rates
    relative_residual, error_bound : of the record
    updates : agreement of the circuit's weight change with each rule's; None where a rule has none,
        or where neither changes anything
    bound : within which `updates[pathway].relative_error` has to lie; 0 where the rule has none
    silent : whether neither the circuit nor the rule of its pathway changes any weight: there is
        nothing to compare, as where nothing that drives the layer is active

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.report import report
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> first = report(settle(trial)).layers[0]
    >>> first.layer, first.updates["gait"].relative_error < first.bound
    (1, True)
    """

    layer: int
    log10_shift: float
    log10_prediction: float
    log10_floor: float
    relative_residual: float
    error_bound: float
    updates: dict[str, Agreement | None]
    bound: float
    silent: bool = False

    def _words(self) -> list[str]:
        own = [f"{name} {one.cosine:.6f}" for name, one in self.updates.items() if one is not None]
        return [f"layer {self.layer}", f"cosines {', '.join(own) or 'of none'}"]

    @property
    def allowed(self) -> float:
        """The relative error beyond which the update is not the rule's."""
        return min(self.bound, DECISIVE)

    @property
    def shift_norm(self) -> float:
        """The norm itself; 0 where it underflows."""
        return 10.0**self.log10_shift


@dataclass(frozen=True, eq=False, repr=False)
class Report(Brief):
    """All layers, the updates behind them, and the verdict.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.report import report
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> found = report(settle(trial))
    >>> found.verdict.split(":")[0]
    'The equilibrium carries the GAIT-prop update'
    """

    record: Equilibrium
    readout: str
    layers: tuple[LayerReport, ...]
    circuit_updates: tuple[Update, ...]
    rule_updates: dict[str, tuple[Update, ...] | None]
    remarks: tuple[str, ...]  # what was done to the network, and rules without targets

    def _words(self) -> list[str]:
        return [f"{self.pathway} pathway", f"{self.readout} read out", self.verdict]

    def __str__(self) -> str:
        words: str = reached("circuit.report.tables.text")(self)
        return words

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    @property
    def pathway(self) -> str:
        """Name of the circuit's pathway, and of the rule that it stands for."""
        return self.record.trial.circuit.pathway.name

    @property
    def outcome(self) -> Outcome:
        """What is known of the circuit's update, of all layers together."""
        pairs = [(layer.updates[self.pathway], layer) for layer in self.compared]
        if not self.record.converged or not all(
            entry is not None and entry.relative_error <= layer.allowed for entry, layer in pairs
        ):
            return Outcome.DISAGREES
        return Outcome.UNDECIDED if self.undecided or not pairs else Outcome.AGREES

    @property
    def compared(self) -> tuple[LayerReport, ...]:
        """The layers in which there is something to compare."""
        return tuple(layer for layer in self.layers if not layer.silent)

    @property
    def agrees(self) -> bool:
        """Whether the circuit settled and its update is its rule's within the bound, everywhere."""
        return self.outcome is Outcome.AGREES

    @property
    def undecided(self) -> tuple[int, ...]:
        """The layers whose bound decides nothing."""
        return tuple(layer.layer for layer in self.compared if not layer.bound < DECISIVE)

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        name = TABLE[self.pathway].called
        if not self.record.converged:
            return f"The circuit did not settle: {self.record.failure()}."
        layers = self.compared
        if not layers:
            return "There is nothing to compare: no weight changes in any layer."
        own = [layer.updates[self.pathway] for layer in layers]
        if any(entry is None for entry in own):
            return f"The circuit settled, but {name} itself has no update here."
        errors = [entry.relative_error for entry in own if entry is not None]
        cosines = [entry.cosine for entry in own if entry is not None]
        worst = int(np.argmax([e / layer.allowed for e, layer in zip(errors, layers, strict=True)]))
        place, allowed = f"layer {layers[worst].layer}", layers[worst].allowed
        digits = digits_apart(errors[worst], allowed)
        if self.outcome is Outcome.DISAGREES:
            return (
                f"The equilibrium does not carry the {name} update: in {place} the relative error "
                f"is {errors[worst]:.{digits}g}, over the {allowed:.{digits}g} that feedback of "
                f"this strength explains ({_cosine_words(cosines[worst])})."
            )
        if self.outcome is Outcome.UNDECIDED:
            return (
                f"Whether the equilibrium carries the {name} update is undecided in layers "
                f"{', '.join(map(str, self.undecided))}: a bound of {DECISIVE:g} or more decides "
                f"nothing (relative error at most {max(errors):.2g}, cosine at least "
                f"{min(cosines):.4f})."
            )
        return (
            f"The equilibrium carries the {name} update: cosine at least "
            f"{np.floor(min(cosines) * 1e6) / 1e6:.6f} in "
            f"every layer, relative error at most {max(errors):.{digits}g} (nearest to its bound "
            f"in {place}: {errors[worst]:.{digits}g} of {allowed:.{digits}g} allowed)."
        )


@np.errstate(all="ignore")  # full targets of deep networks overflow, and are shown as what they are
def report(record: Equilibrium, readout: str = "shift") -> Report:
    """Compare an equilibrium with every rule.

    Parameters
    ----------
    readout : "shift" or "mismatch", what the circuit's synapses learn from

    Raises `CircuitError` for a record of a stack of networks.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.report import report
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> report(settle(trial)).layers[0].updates["gait"].cosine > 0.999999
    True
    """
    trial, network = record.trial, record.trial.network
    if trial.error.ndim != 2:
        raise CircuitError("this record is of a stack of networks; settle and report each alone")
    activity, pathway = trial.activity, trial.circuit.pathway.name
    read = record.read_out(readout)
    own = updates(network, activity, read)
    shifts: dict[str, Shifts | None] = {}
    remarks = []
    for name in RULES:
        try:
            shifts[name] = _rule(name, trial)
        except (TargetOutOfRange, NotFinite) as refusal:
            shifts[name] = None
            remarks.append(f"{name.upper()} has no targets here: {refusal}")
    changes = {
        name: None if found is None else updates(network, activity, found)
        for name, found in shifts.items()
    }
    bounds, direction = record.error_bounds, shifts[pathway]
    apart = _deviations(record, direction, readout)
    layers = []
    for layer in range(1, network.depth + 1):
        i = layer - 1
        agreements = {
            name: None if change is None else _compared(own[i], change[i])
            for name, change in changes.items()
        }
        prediction, allowed = np.nan, 0.0
        reference = changes[pathway]
        if direction is not None and reference is not None:
            gain = trial.circuit.gains[i].log10
            prediction = gain + _log10_norm(direction.per_gain(layer))
            allowed = (
                np.inf if apart is None else update_bound(trial, reference[i], layer, apart[i])
            )
        layers.append(
            LayerReport(
                layer=layer,
                log10_shift=record.shifts.norm(layer).log10,
                log10_prediction=prediction,
                log10_floor=_log10_norm(activity.rates[layer]) + np.log10(epsilon(trial.error)),
                relative_residual=record.relative_residuals[i],
                error_bound=bounds[i],
                updates=agreements,
                bound=float(allowed),
                silent=reference is not None and agreements[pathway] is None,
            )
        )
    remarks.extend(_sliding_words(record))
    silent = [str(one.layer) for one in layers if one.silent]
    if silent:
        remarks.append(
            f"there is nothing to compare in layer {', '.join(silent)}: neither the circuit nor "
            "its rule changes a weight there"
        )
    return Report(record, readout, tuple(layers), own, changes, (*network.notes, *remarks))


def _compared(own: Update, rule: Update) -> Agreement | None:
    """The agreement of two updates of a layer; None where neither changes anything."""
    changes = to_numpy(own.weights).any(), to_numpy(rule.weights).any()
    if not any(changes):
        return None
    if not changes[1]:
        return Agreement(np.nan, np.inf, np.inf)
    return agreement(own.weights, rule.weights)


def _cosine_words(cosine: float) -> str:
    return f"cosine {cosine:.4f}" if np.isfinite(cosine) else "no cosine: one of them is zero"


def _rule(name: str, trial: Trial) -> Shifts:
    """The shifts of a rule, which go through the same feedback as the circuit's; with the
    difference correction, as a plain circuit's shifts from its free phase are.
    """
    trial = trial.from_forward_pass()
    circuit, activity = trial.circuit, trial.activity
    error = trial.error[..., : trial.network.n_outputs]
    if circuit.feedback is None or name == "bp":
        return RULES[name](trial.network, activity, error, circuit.strengths)
    return propagate_learned(
        name,
        trial.network,
        circuit.feedback,
        activity,
        error,
        circuit.strengths,
    )


def _deviations(
    record: Equilibrium, direction: Shifts | None, readout: str
) -> tuple[Deviation, ...] | None:
    """How far the read-out may be from the rule; None where that cannot be said."""
    if direction is None:
        return None
    # what the tolerance leaves unsettled comes on top of what feedback explains
    spare = 10 * record.tolerance
    try:
        kinks = record.sliding_slopes
        return deviations(record.trial, record.shifts, direction, readout, spare, kinks)
    except TargetOutOfRange:  # the rule's increments at the circuit's own drives
        return None


def _sliding_words(record: Equilibrium) -> list[str]:
    """What is said of units that rest at their kink; nothing where none do."""
    each = [to_numpy(slopes > 0) for slopes in record.sliding_slopes]
    units = sum(int(layer.sum()) for layer in each)
    images = int(np.any([layer.any(axis=-1) for layer in each], axis=0).sum())
    if not (record.converged and units):
        return []
    return [
        f"{units} unit(s) of {images} image(s) rest at their kink; the updates are those of that "
        "state (docs/derivation.md, section 4)."
    ]


def _log10_norm(values: object) -> float:
    norms = flattened(row_norms(values))
    with np.errstate(divide="ignore"):
        return float(np.log10(row_norms(norms) / len(norms) ** 0.5))

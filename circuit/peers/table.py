"""Which rules there are: the one table of everything that a layer can learn from.

A new rule is one file and one line. The file is `circuit/peers/NAME.py` and ends in `RULE =
Rule(...)`; what it can be set to is a `Record` of declared settings, in
`circuit/settings/peers/NAME.py`, which loads no NumPy. The line is

    RuleLine("NAME", "its name", "what it is, as RULE.words says it", "NAME:RecordName"),

From there it has its place in training, bench and figures, in `--help` and in the tests that cross
all rules. A rule outside this package goes through `register` and needs no line.

Owns the names, and how a rule is found by its name. Standard library only, so that `--help` answers
at once: files of rules and of settings are imported when they are asked for.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from circuit.settings.declaration import Declaration, Record, declared
from circuit.settings.peers.of_lesson import OfLesson, TargetSettings

if TYPE_CHECKING:
    from circuit.peers.rule import Rule


@dataclass(frozen=True)
class RuleLine:
    """One rule, which need not be loaded yet.

    Attributes
    ----------
    name : in options and results, and of its file
    called : in running text
    words : in one line, for `--help`
    record : file in `circuit/settings/peers` and class of its settings, with a colon between
    file : of the rule in `circuit/peers`, by default that of its name
    given : the rule itself, where it is none of this package
    source : the file that it comes from, where it is one of one's own
    """

    name: str
    called: str
    words: str
    record: str
    file: str = ""
    given: Rule | None = None
    source: str = ""

    def rule(self) -> Rule:
        """The rule; imports its file."""
        if self.given is not None:
            return self.given
        rule: Rule = import_module(f"circuit.peers.{self.file or self.name}").RULE
        return rule

    def settings(self) -> type[Record]:
        """The record of what it can be set to, without loading the rule."""
        if self.given is not None:
            return self.given.settings
        file, name = self.record.split(":")
        record: type[Record] = getattr(import_module(f"circuit.settings.peers.{file}"), name)
        return record

    @property
    def is_paper(self) -> bool:
        """Whether its settings are a lesson's own: the rules of the paper, and the circuit."""
        return issubclass(self.settings(), OfLesson)

    @property
    def through_inverse(self) -> bool:
        """Whether what it sends down goes through an inverse of the weights, exact or another."""
        return issubclass(self.settings(), TargetSettings)


_LINES = (
    RuleLine("bp", "back-propagation", "the gradient", "of_lesson:PlainSettings"),
    RuleLine(
        "tp",
        "target propagation",
        "targets through inverse weights",
        "of_lesson:TargetSettings",
    ),
    RuleLine("itp", "ITP", "target propagation by increments", "of_lesson:GainSettings"),
    RuleLine(
        "gait", "GAIT-prop", "increments adjusted to the slopes of units", "of_lesson:GainSettings"
    ),
    RuleLine(
        "grait",
        "GRAIT-prop",
        "increments adjusted to the lengths of rows of weights as well",
        "of_lesson:GainSettings",
    ),
    RuleLine(
        "circuit",
        "the circuit",
        "the equilibrium of a circuit, which settles for every batch",
        "of_lesson:CircuitSettings",
    ),
    RuleLine(
        "chl",
        "contrastive Hebbian learning",
        "free state and clamped state contrasted, feedback through weak transposed weights",
        "contrast:ContrastiveHebbianSettings",
    ),
    RuleLine(
        "ep",
        "equilibrium propagation",
        "the same with an output that is pulled and pushed a little by its error",
        "contrast:EquilibriumPropagationSettings",
    ),
    RuleLine(
        "pc",
        "predictive coding",
        "predictive coding: errors at the rest of their energy",
        "predictive_coding:PredictiveCodingSettings",
        "predictive_coding",
    ),
    RuleLine(
        "pc_fixed",
        "fixed-prediction coding",
        "predictive coding whose predictions stay those of the forward pass",
        "predictive_coding:FixedPredictionSettings",
        "fixed_prediction",
    ),
    RuleLine(
        "epc",
        "error-based predictive coding",
        "predictive coding by steps of its errors",
        "predictive_coding:ErrorBasedSettings",
        "error_based",
    ),
    RuleLine(
        "dual",
        "dual propagation",
        "dual propagation: the difference of two states of every unit",
        "dual_propagation:DualPropagationSettings",
        "dual_propagation",
    ),
    RuleLine(
        "dfc",
        "deep feedback control",
        "deep feedback control at its steady state",
        "feedback_control:FeedbackControlSettings",
        "feedback_control",
    ),
    RuleLine(
        "dtp",
        "difference target propagation",
        "difference targets, through feedback that learns by reconstruction",
        "dtp:DifferenceTargetSettings",
    ),
    RuleLine(
        "ldrl",
        "difference target propagation by local differences",
        "difference targets, through feedback that learns to be the transpose",
        "ldrl:LocalDifferenceSettings",
    ),
    RuleLine(
        "ddtp",
        "direct difference target propagation",
        "difference targets, through learned linear feedback from the output to every layer",
        "ddtp:DirectDifferenceSettings",
    ),
    RuleLine(
        "fa",
        "feedback alignment",
        "feedback alignment: errors come down through fixed random weights",
        "fa:FeedbackAlignmentSettings",
    ),
    RuleLine(
        "dfa",
        "direct feedback alignment",
        "direct feedback alignment: fixed random weights tell every layer the output's error",
        "dfa:DirectAlignmentSettings",
    ),
    RuleLine(
        "sign",
        "sign symmetry",
        "sign symmetry: feedback weights have the signs of the feed-forward ones",
        "sign:SignSymmetrySettings",
    ),
)
TABLE: dict[str, RuleLine] = {one.name: one for one in _LINES}


def register(rule: Rule, called: str = "", source: str = "") -> ExitStack:
    """Put a rule of one's own into the table, for training, bench, figures and `Lesson`.

    Parameters
    ----------
    called : in running text; by default its name
    source : the file that it comes from, see `circuit.peers.own`

    Returns
    -------
    ExitStack
        `with register(RULE): ...` takes it out again at the end; without `with` it stays.

    Raises
    ------
    CircuitError
        For what is no `Rule`, or where there is a rule of that name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from circuit import RULES, output_error
    >>> from circuit.learning import Lesson
    >>> from circuit.peers import Rule, Signal, register
    >>> from circuit.settings.declaration import Record
    >>> @dataclass(frozen=True)
    ... class NoSettings(Record):
    ...     '''Nothing can be set.'''
    >>> def signal(network, activity, targets, loss, settings, companions, step):
    ...     error = output_error(network, activity, targets, loss)
    ...     return Signal(activity, RULES["bp"](network, activity, error))
    >>> with register(Rule("mine", "the gradient once more", "nobody", NoSettings, signal)):
    ...     print(Lesson("mine").rule)
    mine
    """
    from circuit.checks.given import require_kind
    from circuit.errors import CircuitError
    from circuit.peers.rule import Rule

    require_kind("rule", rule, Rule)
    name = rule.name
    if not (isinstance(name, str) and name.isidentifier() and name.islower()):
        raise CircuitError(f"rule name {name!r} is no word; give small letters, digits and _")
    if name in TABLE:
        raise CircuitError(f"there is a rule {name} already; give yours another name")
    TABLE[name] = RuleLine(name, called or name, rule.words, "", given=rule, source=source)
    undo = ExitStack()
    undo.callback(TABLE.pop, name, None)
    return undo


def own_settings(name: str) -> dict[str, Declaration]:
    """What a rule alone can be set to, by the names of the fields. Empty where its settings are a
    lesson's.

    The option of field `gamma` of rule `chl` is chl_gamma, unless its declaration has another that
    begins with chl_ as well.
    """
    record = TABLE[name].settings()
    return dict(_own_settings(name, record))  # type: ignore[arg-type]  # classes have a hash


@cache  # a command asks hundreds of times
def _own_settings(name: str, record: type[Record]) -> dict[str, Declaration]:
    if issubclass(record, OfLesson):
        return {}
    only = {"rule": (name,)}
    own = name + "_"
    return {
        field: replace(
            one,
            option=one.option if one.option.startswith(own) else own + field,
            also="",
            needs=only | dict(one.needs or {}),
        )
        for field, one in declared(record).items()
    }


def with_option(option: str) -> tuple[str, ...]:
    """The rules whose settings are a lesson's, the one with the option name `option` among them."""
    return tuple(
        name
        for name, one in TABLE.items()
        if one.is_paper and any(it.option == option for it in declared(one.settings()).values())
    )

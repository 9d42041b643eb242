"""A setting, declared once: default, range, words, and the name that options have for it.

Owns the kinds of settings, and how a record made of them checks itself. Standard library only, so
that a command's `--help`, which is made of declarations, answers at once.

    @dataclass(frozen=True)
    class Adam(Record):
        beta1: float = Number(0.9, "of Adam: memory of the direction", within=FRACTION).field()

An *option name* is what options, presets, summaries and flat TOML keys call a setting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, Field, dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar

KEY = "setting"  # of a field's metadata
Values = Mapping[str, Any]  # option name -> value, spelt as an option has it


@dataclass(frozen=True)
class Interval:
    """Where a number may lie.

    Attributes
    ----------
    low, high : its ends; an infinite one is no bound, but what is infinite lies outside
    ends : "()", "[)", "(]" or "[]": which ends belong to it
    example : what a message proposes
    why : follows the interval in a message
    """

    low: float
    high: float
    ends: str
    example: str
    why: str = ""

    def fault(self, value: float) -> str:
        """What is wrong with a number, in words; empty if nothing is."""
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        if above and below:
            return ""
        if (self.low, self.high) == (0, float("inf")):
            return "is negative or not finite" if self.ends[0] == "[" else "is not positive"
        return f"is outside {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}{self.why}"


@dataclass(frozen=True)
class Declaration:
    """What all kinds of settings have.

    Attributes
    ----------
    default : where nobody says anything
    words : for `--help`
    option : the option's name, by default the field's
    called : the name in messages, by default the option's
    metavar : what stands for the value in `--help`
    needs : another option's name -> its values, without which this one does nothing
    idle : option names with values; where all of one entry are so, this one does nothing
    fixed : whether the default is that of every preset, and the words say it
    many : whether there are several values, in a tuple
    distinct : whether no two of several values may be alike
    also : another name that the option has
    """

    default: Any
    words: str
    _: KW_ONLY
    option: str = ""
    called: str = ""
    metavar: str | None = None
    needs: Mapping[str, tuple[str, ...]] | None = None
    idle: tuple[Values, ...] = ()
    fixed: bool = False
    many: bool = False
    distinct: bool = False
    also: str = ""

    def field(self) -> Any:
        """A field of a `Record`, to stand behind its name and type."""
        return field(default=self.default, metadata={KEY: self})

    def checked(self, what: str, value: Any) -> Any:
        """The value as it is kept. Raises `CircuitError` for one that cannot be."""
        return value

    def spelt(self, value: Any) -> Any:
        """The value as an option has it."""
        return value

    def meant(self, value: Any) -> Any:
        """The value of one that is spelt as an option has it."""
        return value


@dataclass(frozen=True, kw_only=True)
class Number(Declaration):
    """A number, kept as a float.

    Attributes
    ----------
    within : where it may lie; checked by the record itself if None
    least : for the option, which refuses what is smaller before anything is loaded
    """

    within: Interval | None = None
    least: float | None = None

    def checked(self, what: str, value: Any) -> float:
        """As `Declaration.checked`."""
        from circuit.checks.given import real  # NumPy, for which `--help` has no time
        from circuit.errors import CircuitError

        number = real(what, value)
        fault = self.within.fault(number) if self.within else ""
        if self.within and fault:
            raise CircuitError(f"{what} {number:g} {fault}; use for example {self.within.example}")
        return number


@dataclass(frozen=True, kw_only=True)
class Count(Declaration):
    """A whole number of `least` or more; `most` binds the option alone. None where it is None by
    default.
    """

    least: int = 1
    most: int | None = None
    metavar: str | None = "N"

    def checked(self, what: str, value: Any) -> Any:
        """As `Declaration.checked`."""
        from circuit.checks.given import is_whole, shown
        from circuit.errors import CircuitError

        if value is None and self.default is None:
            return value
        if not (is_whole(value) and value >= self.least):
            raise CircuitError(
                f"{what} {shown(value)} is no count: give a whole number, {self.least} or more"
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Choice(Declaration):
    """One of the words that are `known`, which may become more."""

    known: Collection[str]

    def checked(self, what: str, value: Any) -> str:
        """As `Declaration.checked`."""
        from circuit.checks.given import require_choice

        require_choice(what, value, self.known)
        return str(value)


@dataclass(frozen=True, kw_only=True)
class Flag(Declaration):
    """True or False, which an option has as the first or the second of two words."""

    words_of: tuple[str, str] = ("yes", "no")

    def checked(self, what: str, value: Any) -> Any:
        """As `Declaration.checked`."""
        from circuit.checks.given import require_flag

        require_flag(what, value)
        return value

    def spelt(self, value: Any) -> Any:
        """As `Declaration.spelt`."""
        return self.words_of[0 if value else 1]

    def meant(self, value: Any) -> Any:
        """As `Declaration.meant`."""
        return value == self.words_of[0]


class Record:
    """What a frozen dataclass of settings inherits: it checks each of them when it is made.

    Attributes
    ----------
    prefix : of the option names of those whose declarations give none
    needs : of those whose declarations say nothing of it
    presets : of a rule's settings, the name of a preset -> option names with what a training run by
        this rule has in it, in place of what others have
    """

    prefix: ClassVar[str] = ""
    needs: ClassVar[Mapping[str, tuple[str, ...]] | None] = None
    presets: ClassVar[Mapping[str, Values]] = {}

    def __post_init__(self) -> None:
        """Raise `CircuitError` for a value that is out of its range."""
        for name, setting in declared(type(self)).items():
            what = setting.called or setting.option.replace("_", " ")
            value = getattr(self, name)
            if setting.many:
                value = tuple(setting.checked(what, one) for one in value)
            else:
                value = setting.checked(what, value)
            object.__setattr__(self, name, value)


def declared(record: type[Record]) -> dict[str, Declaration]:
    """The settings of a record by the names of their fields, each with its option name."""
    return dict(_declared(record))  # type: ignore[arg-type]  # classes have a hash


@cache  # a command asks hundreds of times
def _declared(record: type[Record]) -> dict[str, Declaration]:
    found: tuple[Field[Any], ...] = fields(record)  # type: ignore[arg-type]  # all are dataclasses
    settings: dict[str, Declaration] = {
        one.name: one.metadata[KEY] for one in found if one.metadata
    }
    return {
        name: replace(
            one, option=one.option or record.prefix + name, needs=one.needs or record.needs
        )
        for name, one in settings.items()
    }


def meant(record: type[Record], values: Values) -> dict[str, Any]:
    """What a record's fields are, of the values of options."""
    return {name: one.meant(values[one.option]) for name, one in declared(record).items()}

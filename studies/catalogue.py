"""Which studies there are, and which command sweeps each: the one table that names them.

A study is a folder with three doors: `study.py` (`study`, `measure`, `VERSION`), `figures.py`
(`FIGURES`) and `findings.py` (`findings`). Standard library only, so that `--help` answers at once,
and so that a process that measures cells loads no pictures.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

STRENGTH, QUESTIONS = "run_feedback_strength", "run_open_questions"  # commands


@dataclass(frozen=True)
class Entry:
    """Where a study stands.

    Attributes
    ----------
    package : its folder, as it is imported
    command : that sweeps it
    words : what it is about, for `--help`
    """

    package: str
    command: str
    words: str

    def door(self, name: str) -> ModuleType:
        """The file `name` of the folder: "study", "figures" or "findings"."""
        return importlib.import_module(f"{self.package}.{name}")


STUDIES: dict[str, Entry] = {
    "strength": Entry(
        "studies.strength", STRENGTH, "alignment with every rule, gains, kinks, stability"
    ),
    "strong": Entry("studies.strong", STRENGTH, "where the equilibrium ceases to be stable"),
    "noise": Entry("studies.noise", STRENGTH, "what weak feedback costs where rates are noisy"),
    "imperfection": Entry(
        "studies.imperfection", STRENGTH, "feedback that is not the exact inverse"
    ),
    "trained": Entry(
        "studies.trained", STRENGTH, "what training does to alignment, kinks and stability"
    ),
    "learned_inverse": Entry(
        "studies.learned_inverse",
        QUESTIONS,
        "must feedback be strong where the inverse is learned and rates are noisy?",
    ),
    "activations": Entry(
        "studies.activations",
        QUESTIONS,
        "does target propagation gain from tanh units, and is GAIT-prop indifferent?",
    ),
    "top_down": Entry(
        "studies.top_down",
        QUESTIONS,
        "is one increment at the output, with exact inversion below, a stable circuit?",
    ),
    "learning_in_circuit": Entry(
        "studies.learning_in_circuit",
        QUESTIONS,
        "can the circuit's own weights learn, with no trainer outside it?",
    ),
    "noisy_learning": Entry(
        "studies.noisy_learning",
        QUESTIONS,
        "can a circuit with weak feedback learn while its rates are read with noise?",
    ),
    "bench": Entry(
        "studies.bench",
        QUESTIONS,
        "what does every rule ask of the same weights, on the same images?",
    ),
    "overlaps": Entry(
        "studies.overlaps",
        QUESTIONS,
        "what does GRAIT-prop lose by where its updates point as back-propagation's do?",
    ),
    "lateral_inhibition": Entry(
        "studies.lateral_inhibition",
        QUESTIONS,
        "can plastic lateral inhibition keep weights near orthogonal?",
    ),
}


def of_command(command: str) -> dict[str, str]:
    """The studies that `command` sweeps, with what they are about, in the order of the table."""
    return {name: entry.words for name, entry in STUDIES.items() if entry.command == command}

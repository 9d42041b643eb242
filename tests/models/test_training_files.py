"""What stands in a TOML file of a training run, flat or in tables, and under which headings
`--help` shows the options.
"""

from __future__ import annotations

import re

import pytest

from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import Adam
from models.command.parsing import parse
from models.command.training_options import options
from models.command.training_settings import resolved
from models.run_training import main
from tests.commands import help_of, refusal
from training.declarations import EVERYDAY, HEADINGS, SETTINGS
from training.plan import lesson_of


@pytest.fixture
def lesson(tmp_path):
    """The lesson that a file and a command line make."""

    def make(content, *arguments):
        file = tmp_path / "run.toml"
        file.write_text(content, encoding="utf-8")
        return lesson_of(resolved(parse(options(), ["--config", str(file), *arguments])))

    return make


QUICK = {"adam": Adam(4e-3), "pull": Regulariser(0.3)}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", Lesson(**QUICK)),
        ("[adam]\nlearning_rate = 0.01", Lesson(**QUICK | {"adam": Adam(0.01)})),
        (
            "[adam]\nbeta1 = 0.5\nbias-correction = false",
            Lesson(**QUICK | {"adam": Adam(4e-3, 0.5, bias_correction=False)}),
        ),
        ("[inverse]", Lesson(**QUICK, inverse=LearnedInverse())),
        (
            "[inverse]\nrate = 0.5\nsteps = 3\ncorrected = false",
            Lesson(**QUICK, inverse=LearnedInverse(0.5, steps=3, corrected=False)),
        ),
        ("[pull]\nstrength = 0", Lesson(adam=Adam(4e-3))),
        (
            '[pull]\nstrength = 0.2\nevery = 4\nof = "columns"',
            Lesson(adam=Adam(4e-3), pull=Regulariser(0.2, 4, "columns")),
        ),
        (
            '[pull]\nmechanism = "whitening"\nstrength = 0.01\nsamples = 8',
            Lesson(adam=Adam(4e-3), pull=Inhibition(strength=0.01, samples=8)),
        ),
        (
            '[pull]\nplace = "decorrelated_inputs"\nrate = 0.05',
            Lesson(adam=Adam(4e-3), pull=Decorrelation(place="decorrelated_inputs", rate=0.05)),
        ),
        (
            'gamma = 0.01\n[pull]\nmechanism = "inhibition"\n[inverse]\norder = "alternating"',
            Lesson(
                feedback_strength=0.01,
                adam=Adam(4e-3),
                pull=Inhibition(mechanism="inhibition", strength=1e-3, rate=0.02),
                inverse=LearnedInverse(order="alternating"),
            ),
        ),
    ],
)
def test_tables_are_the_records_of_a_lesson(lesson, content, wanted):
    assert lesson(content) == wanted


def test_flat_names_say_the_same_as_tables(lesson):
    nested = """
    [adam]
    learning_rate = 0.01
    [inverse]
    noise = 0.5
    corrected = true
    [pull]
    strength = 0.1
    every = 3
    """
    flat = """
    learning_rate = 0.01
    inverse = "learned"
    inverse_noise = 0.5
    correction = "yes"
    orthogonality = 0.1
    orthogonality-every = 3
    """
    assert lesson(nested) == lesson(flat)
    assert lesson(nested, "--learning-rate", "0.5").adam == Adam(0.5)  # the command line wins


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[adam]\nbeta3 = 0.5", "[adam] has no 'beta3'; choose from learning_rate, beta1"),
        ("[adam]\nbeta1 = 1.0", "beta1 1 is outside [0, 1)"),
        ("[adam]\nbeta1 = true", "beta1 holds what is no number or text"),
        ("[adam.beta1]\nx = 1", "beta1 holds what is no number or text"),
        ("[inverse]\nrate = 2.5", "inverse rate 2.5 is outside (0, 2)"),
        ('[pull]\nmechanism = "whitening"\nof = "columns"', "--orthogonality-of would do nothing"),
        (
            '[pull]\nmechanism = "whitening"\nplace = "decorrelated_inputs"',
            "[pull] says twice what --orthogonality-by says; give it once",
        ),
        (
            "learning-rate = 0.1\n[adam]\nlearning_rate = 0.1",
            "learning-rate and learning_rate of [adam] are one option; give one",
        ),
        (
            'orthogonality = 0.1\n[pull]\nmechanism = "regulariser"\nstrength = 0.1',
            "orthogonality and strength of [pull] are one option; give one",
        ),
        (
            "inverse-rate = 0.1\n[inverse]\nrate = 0.1",
            "inverse-rate and rate of [inverse] are one option; give one",
        ),
        ("gamma.x = 1", "gamma holds what is no number or text"),
        ("[network]\ndepth = 3", "'network' is no option, nor a table of any; tables are [adam]"),
    ],
)
def test_a_table_that_says_nothing_sensible_is_refused(capsys, tmp_path, content, words):
    file = tmp_path / "run.toml"
    file.write_text(content, encoding="utf-8")
    assert words in refusal(capsys, main, "--config", str(file), "--output", str(tmp_path / "out"))


def test_help_groups_options_under_headings_the_everyday_ones_first():
    shown = help_of("run_training")
    places = [shown.index(f"\n{heading}:\n") for heading in HEADINGS]
    assert places == sorted(places)
    first = shown[places[0] : places[1]]
    for name in (*EVERYDAY, "output", "config", "resume", "data-dir"):
        assert f"  --{name}" in first
    for heading, here, after in zip(HEADINGS, places, [*places[1:], len(shown)], strict=True):
        for name in HEADINGS[heading]:
            option = rf"^  --{name.replace('_', '-')}[ ,]"  # a comma where there are two names
            assert re.search(option, shown[here:after], re.MULTILINE)


def test_every_setting_stands_under_one_heading():
    names = [name for group in HEADINGS.values() for name in group]
    assert sorted(names) == sorted(SETTINGS)

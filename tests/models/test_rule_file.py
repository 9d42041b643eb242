"""--rule-file: the rule that docs/extending.md shows, run from the page; files that hold none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.network import forward
from circuit.peers import use_rule_file
from circuit.peers.table import TABLE
from models import run_bench, run_training
from tests.commands import refusal

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
SMALL = ("--epochs", "2", "--train-images", "300", "--depth", "1", "--no-figures", "--quiet")


@pytest.fixture
def one_bit(tmp_path: Path) -> Path:
    """The file of the page."""
    section = PAGE.partition("one\\_bit.py")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    assert block.count("\n") < 40
    path = tmp_path / "one_bit.py"
    path.write_text(block)
    return path


def test_a_rule_from_the_page_is_trained_like_any_other(one_bit: Path, tmp_path: Path) -> None:
    """From the command line, and the same from a TOML file; afterwards it is gone."""
    rule = ("--rule", "one_bit", "--rule-file", str(one_bit))
    given = (*rule, "--one-bit-size", "0.05", *SMALL, "--output")
    assert run_training.main([*given, str(tmp_path / "one")]) == 0
    toml = tmp_path / "run.toml"
    toml.write_text(f'rule = "one_bit"\nrule_file = "{one_bit}"\n[one_bit]\nsize = 0.05\n')
    told = ("--config", str(toml), *SMALL, "--output", str(tmp_path / "other"))
    assert run_training.main(told) == 0
    assert "one_bit" not in TABLE
    one, other = (
        xr.load_dataset(tmp_path / name / "history.nc", engine="scipy") for name in ("one", "other")
    )
    xr.testing.assert_equal(one, other)
    assert one.attrs["rule"] == "one_bit"
    assert one["train_loss"].values[0, -1] < 0.8 * one["train_loss"].values[0, 0]
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["config"]["one_bit_size"] == 0.05
    assert summary["config"]["rule_file"] == str(one_bit)


def test_its_shifts_are_those_that_the_page_says(one_bit: Path, rng: np.random.Generator) -> None:
    """One step: Adam is told f' times the sign of back-propagation's shift, a mean over images."""
    network = initialise([6, 5, 3], rng, activation="asinh", auxiliary=False)
    inputs, targets = rng.random((8, 6)), rng.random((8, 3))
    with use_rule_file(one_bit):
        lesson = Lesson("one_bit")
        with use_rule_file(one_bit):  # which is there already, and stays
            pass
        learner, step = learn(begin_learning(network, lesson), lesson, inputs, targets)
    assert step.settled is None
    drives = forward(network, inputs).drives
    error = targets - np.arcsinh(drives[1])
    slopes = [1 / np.sqrt(1 + h**2) for h in drives]
    below = (slopes[1] * error) @ network.weights[1]
    for layer, shift in enumerate((below, error)):
        wanted = 0.1 * (0.1 * slopes[layer] * np.sign(shift)).mean(axis=0)  # (1 - beta1) of it
        np.testing.assert_allclose(learner.moments.first_biases[layer], wanted, rtol=1e-12)


def numbers(table: list[str]) -> list[list[float]]:
    """What the lines of a table of the bench say of a rule: layer after layer, no times."""
    lines = [one.split() for one in table if re.search(r"(cosine|error|norm) +\d", one)]
    return [[float(word) for word in line[-4:]] for line in lines]


def test_the_bench_prints_what_the_page_says(
    one_bit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command that stands above it; and no other rule would print the same."""
    (command,) = re.findall(r"python models/run_bench\.py (--rule-file [^#]*)", PAGE)
    arguments = command.replace("one_bit.py", str(one_bit)).split()
    run_bench.main([*arguments, "--no-figures", "--output", str(tmp_path / "bench")])
    said = [one for one in capsys.readouterr().out.splitlines() if not one.startswith("Written")]
    page = PAGE.partition("The first prints, beside times:\n\n```\n")[2].partition("```")[0]
    shown, found = numbers(page.splitlines()), numbers(said)
    assert len(found) == 9
    np.testing.assert_allclose(found, shown, rtol=0, atol=1.01e-4)
    assert not np.allclose(found[3:6], shown[6:], rtol=0, atol=0.1)
    for one, other in zip(said, page.splitlines(), strict=False):
        words = [re.sub(r"\d.*", "#", word) for line in (one, other) for word in line.split()]
        assert words[: len(words) // 2] == words[len(words) // 2 :]


def test_what_is_no_signal_is_refused_by_its_name(
    one_bit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    """The shifts alone, say; in a step of learning, and beside the others on the bench."""
    text = one_bit.read_text(encoding="utf-8")
    last = next(line for line in text.splitlines() if "return Signal(" in line)
    one_bit.write_text(text.replace(last, "    return shifts"), encoding="utf-8")
    network = initialise([6, 5, 3], rng, activation="asinh", auxiliary=False)
    with use_rule_file(one_bit):
        learner = begin_learning(network, Lesson("one_bit"))
        with pytest.raises(CircuitError, match="one_bit returned Shifts, not a Signal"):
            learn(learner, Lesson("one_bit"), rng.random((8, 6)), rng.random((8, 3)))
    rules = ("--rules", "bp", "one_bit", "--rule-file", str(one_bit), "--no-figures")
    assert run_bench.main([*rules, "--output", str(tmp_path / "bench")]) == 1
    assert "rule one_bit returned Shifts, not a Signal" in capsys.readouterr().out


def test_a_run_does_not_go_on_by_another_rule_of_the_same_name(
    one_bit: Path, tmp_path: Path, capsys
):
    arguments = ["--rule", "one_bit", "--rule-file", str(one_bit), *SMALL]
    arguments += ["--output", str(tmp_path / "run")]
    assert run_training.main(arguments) == 0
    assert run_training.main([*arguments, "--resume"]) == 0
    one_bit.write_text(one_bit.read_text().replace("xp.sign(value)", "value"))
    words = refusal(capsys, run_training.main, *arguments, "--resume")
    assert "checkpoint" in words
    assert "code is" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is no file of Python; give FILE.py"),
        ("x = 1\n", "has no RULE; end it in RULE = Rule"),
        ("RULE = 3\n", "rule = 3 is no Rule"),
        ("def f(:\n", "cannot be run (SyntaxError"),
        ("raise ValueError('two\\nlines')\n", "cannot be run (ValueError: two lines); mend it"),
        ("import sys; sys.exit(0)\n", "cannot be run (SystemExit: 0)"),
        ("from circuit.peers.bp import RULE\n", "there is a rule bp already"),
    ],
)
def test_a_file_that_holds_no_rule_is_refused_in_a_line(
    text, words: str, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    said = refusal(
        capsys, run_training.main, "--rule-file", str(path), "--output", str(tmp_path / "x")
    )
    assert words in said
    with pytest.raises(CircuitError, match=re.escape(words)):
        use_rule_file(path)


def test_an_option_of_the_rule_is_refused_where_another_rule_is_chosen(
    one_bit: Path, capsys
) -> None:
    words = refusal(capsys, run_training.main, "--rule-file", str(one_bit), "--one-bit-size", "0.2")
    assert "--one-bit-size would do nothing with --rule gait" in words
    words = refusal(capsys, run_training.main, "--rule-fil", str(one_bit))
    assert "--rule-file is abbreviated; write it in full" in words
    wrong = ("--rule-file", str(one_bit), "--rule", "one_bit", "--one-bit-size", "-1")
    words = refusal(capsys, run_training.main, *wrong)
    assert "size -1 is not positive; use for example 0.1" in words


def test_a_rule_that_fails_is_named_with_its_file(one_bit: Path, tmp_path: Path, capsys) -> None:
    """Of a wrong signature: a training ends with one line, the bench says it below its table."""
    text = one_bit.read_text()
    (head,) = re.findall(r"^def signal\(.*?\):", text, re.M)
    one_bit.write_text(text.replace(head, "def signal(network):"))
    rule = ("--rule-file", str(one_bit), "--output", str(tmp_path / "out"))
    wanted = f"rule one_bit of {one_bit} failed (TypeError: signal() takes 1 positional"
    assert run_training.main(["--rule", "one_bit", *SMALL, *rule]) == 1
    words = capsys.readouterr().err
    assert wanted in words and words.count("\n") == 1
    bench = ["--rules", "bp", "one_bit", "--batch", "4", "--no-figures", *rule]
    assert run_bench.main(bench) == 1
    assert wanted in " ".join(capsys.readouterr().out.split())

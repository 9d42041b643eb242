"""What the pages point to is there: pages, headings, pictures, and the tests that guard a claim."""

from __future__ import annotations

import ast
import importlib.util
import re
import runpy
import shlex
import warnings
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mpmath
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from circuit.errors import CircuitError
from models import (
    run_bench,
    run_compare,
    run_derivation,
    run_feedback_strength,
    run_figures,
    run_open_questions,
)
from models.command import equilibrium_options, training_options
from models.command.parsing import parse
from models.command.rule_files import use_rule_files
from models.command.shared import refuse_what_idles
from models.command.studies import datasets_of

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
EVERY = pytest.mark.parametrize("page", PAGES, ids=NAMES)
PARSERS = {
    "run_bench.py": run_bench.options,
    "run_compare.py": run_compare.options,
    "run_derivation.py": run_derivation.options,
    "run_equilibrium.py": equilibrium_options.options,
    "run_feedback_strength.py": run_feedback_strength.options,
    "run_figures.py": run_figures.options,
    "run_open_questions.py": run_open_questions.options,
    "run_training.py": training_options.options,
}
STANDS_FOR = {
    "RULE": "gait",
    "NAME": "top_down",
    "reach": "top_down",
    "smoke|laptop|full": "laptop",
    "G": "0.1",
}


def anchors(page: Path) -> set[str]:
    """What headings are called in links: lower case, without signs, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def known_tests() -> set[str]:
    """Names of all files of tests, without .py, of all functions in them, and file::function."""
    names = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        names |= {path.stem} | inside | {f"{path.stem}::{name}" for name in inside}
    return names


@EVERY
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@EVERY
def test_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"`[^`\n]*`", re.sub(r"```.*?```", "", text, flags=re.S)))
    named = set(re.findall(r"\b(test_\w+?)(?:\.py)?\b(?![\w*])", quoted))
    named |= {"::".join(pair) for pair in re.findall(r"\b(test_\w+)\.py::(test_\w+)", quoted)}
    unknown = {name for name in named if name not in known_tests() and not name.endswith("_")}
    unknown -= {"test_inputs", "test_targets", "test_accuracy", "test_loss"}  # of histories
    assert not unknown


def test_such_names_are_found_at_all() -> None:
    """A page that names a test which does not exist is noticed, and so is a broken link."""
    assert LINK.findall("see [a](b.md#c), ![d](e.png)") == ["b.md#c", "e.png"]
    assert "such-names-are-found" not in anchors(DOCS / "library.md")
    assert "as-a-library" in anchors(DOCS / "library.md")
    assert "test_such_names_are_found_at_all" in known_tests()
    assert "test_this_is_nowhere" not in known_tests()
    assert "test_sweep::test_such_names_are_found_at_all" not in known_tests()
    assert ["run_figures.py", "all"] in commands(DOCS / "findings.md")
    assert ["run_training.py", "--rule", "circuit"] in commands(DOCS / "findings.md")
    assert ["run_bench.py"] in commands(PAGES[0])  # behind a block in Python
    assert ["run_equilibrium.py", "--gamma", "0.1"] in commands(
        DOCS / "derivation.md"
    )  # a sentence's
    assert {"--increments", "--only"} < known_options()
    assert "--this-is-none" not in known_options()


def plain_lines(text: str) -> list[str]:
    """Lines of the fenced blocks of a page that are in no language: what is typed or printed."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S)
    return [line for language, block in blocks if not language for line in block.splitlines()]


def commands(page: Path) -> list[list[str]]:
    """Words of every command line of a page, in its blocks or in a sentence, that runs a file of
    `models/`.
    """
    text = page.read_text(encoding="utf-8")
    sentences = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    found = []
    for line in [*plain_lines(text), *re.findall(r"`(python models/[^`]+)`", sentences)]:
        _, python, rest = line.partition("python models/")
        if python:
            found.append([STANDS_FOR.get(word, word) for word in shlex.split(rest, comments=True)])
    return found


def roundabout(text: str) -> list[str]:
    """Lines that a page has typed and that name `.venv`, other than those that make it."""
    lines = plain_lines(text)
    return [one for one in lines if ".venv/" in one and not one.startswith("python3 -m venv ")]


def test_commands_have_one_form() -> None:
    """`python models/...` in an environment that is active, as Start says; the front page, and the
    bench, which it points to, are read by those who have not come that far.
    """
    assert "`source .venv/bin/activate`" in (DOCS / "start.md").read_text("utf-8")
    found = {page.name for page in PAGES if roundabout(page.read_text("utf-8"))}
    assert found == {"README.md"}
    text = "```python\na\n```\n.venv/\n```\npython a.py\n.venv/bin/python a.py\n```\n"
    assert roundabout(text) == [".venv/bin/python a.py"]


@EVERY
def test_commands_are_accepted(page: Path, tmp_path: Path, monkeypatch) -> None:
    """As far as parsing goes, and of studies that no option does nothing; --config, --data-dir and
    --rule-file are given what they name.
    """
    monkeypatch.chdir(tmp_path)
    (rule,) = (one for one in python_blocks(DOCS / "extending.md") if 'Rule("one_bit"' in one)
    (tmp_path / "one_bit.py").write_text(rule)
    (tmp_path / "run.toml").write_text('gamma = [0.02]\ndepth = 5\npathway = "itp"\n')
    for name, *arguments in commands(page):
        with use_rule_files(name, arguments):
            chosen = parse(PARSERS[name](), arguments)
            if "studies" in chosen:
                refuse_what_idles(name, chosen, datasets_of(chosen))


@cache
def known_options() -> frozenset[str]:
    """All options of all commands, of the benchmarks too."""
    parsed = {word for make in PARSERS.values() for word in make()._option_string_actions}
    text = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    return frozenset(parsed | set(re.findall(r'"(--[a-z-]+)"', text)))


@EVERY
def test_options_that_are_named_exist(page: Path) -> None:
    quoted = " ".join(re.findall(r"`[^`\n]*`", page.read_text(encoding="utf-8")))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", quoted))
    assert named - known_options() <= {"--no-nanny"}  # of Dask's own worker


@EVERY
def test_files_and_names_that_are_mentioned_exist(page: Path) -> None:
    """`circuit/methods`, `tests/circuit/test_dynamics.py`, and `verification.judge` for what one
    holds.
    """
    quoted = re.findall(r"`([^`\n]*)`", page.read_text(encoding="utf-8"))
    for path in {word for part in quoted for word in re.findall(r"[\w/]+/[\w/]+\.py", part)}:
        assert (ROOT / path).is_file(), path
    for part in quoted:
        module, _, name = part.partition("(")[0].removeprefix("circuit.").partition(".")
        if name.isidentifier() and name != "nc" and (ROOT / "circuit" / f"{module}.py").is_file():
            assert hasattr(importlib.import_module(f"circuit.{module}"), name), part


def mentions(path: Path) -> set[str]:
    """Names of this project that a file of it puts between backticks, from the floor down."""
    floors = "circuit|analysis|training|studies|models"
    return set(re.findall(rf"`((?:{floors})(?:\.\w+)+)`", path.read_text("utf-8")))


def test_what_docstrings_refer_to_is_there() -> None:
    """`circuit.shift_dynamics.balance` is a file, or defined in one or imported by it."""
    for floor in ("circuit", "analysis", "training", "studies", "models", "benchmarks", "tests"):
        for path in (ROOT / floor).rglob("*.py"):
            for name in mentions(path):
                place = ROOT / name.replace(".", "/")
                if place.is_dir() or place.with_suffix(".py").is_file():
                    continue
                holder = place.parent / "__init__.py"
                holder = holder if holder.is_file() else place.parent.with_suffix(".py")
                assert holder.is_file(), (path, name)
                assert re.search(rf"\b{place.name}\b", holder.read_text("utf-8")), (path, name)


def test_short_names_in_docstrings_of_the_library_are_there() -> None:
    """`feedback.output_only`: what a file or a face of that name holds."""
    texts: dict[str, str] = {}
    for path in [*(ROOT / "circuit").rglob("*.py"), *(ROOT / "circuit").rglob("*.pyi")]:
        holder = path.parent.name if path.stem == "__init__" else path.stem
        texts[holder] = texts.get(holder, "") + path.read_text("utf-8")
    unknown = {
        f"{holder}.{name}"
        for text in texts.values()
        for holder, name in re.findall(r"`(\w+)\.(\w+)`", text)
        if holder in texts and not re.search(rf"\b{name}\b", texts[holder])
    }
    assert unknown == {"model.classes_"}  # of scikit-learn's


def test_the_first_example_in_python_runs(capsys) -> None:
    """And prints what stands below it; a residual is as large as rounding makes it."""
    names = block_of("start.md", "record = settle(trial)")
    said = capsys.readouterr().out
    (shown,) = re.findall(
        r"^```\n(Equilibrium.*?)```", (DOCS / "start.md").read_text(), re.M | re.S
    )
    numbers = [re.findall(r"\d[\d.e-]*\d", text.partition("bound ")[2]) for text in (said, shown)]
    assert re.sub(r"\d[\d.e-]*", "#", said) == re.sub(r"\d[\d.e-]*", "#", shown)
    assert numbers[0] == numbers[1]
    assert len(names["changes"]) == 3


def test_the_front_pages_are_short_and_say_the_same() -> None:
    """README and site: at most 110 lines, one question, one table, one example, one drawing."""
    readme, site = (path.read_text("utf-8") for path in (PAGES[0], DOCS / "index.md"))
    assert len(readme.splitlines()) <= 110
    tables = [re.findall(r"^\|.*\|$", text, re.M) for text in (readme, site)]
    assert tables[0] == tables[1] and len(tables[0]) == 6
    assert readme.split("\n## ")[0].split("![")[0] == site.split("\n## ")[0].split("![")[0]
    assert python_blocks(PAGES[0]) == python_blocks(DOCS / "index.md")
    for line in re.findall(r"^python3 -m venv .*$", readme, re.M):
        assert f"\n{line}\n" in site


def test_the_short_table_is_taken_from_the_long_one() -> None:
    """Numbers of the README's rows stand in the main command's printed tables."""
    (printed,) = re.findall(
        r"^```\n(60 images.*?)```", (DOCS / "main_command.md").read_text("utf-8"), re.M | re.S
    )
    rows = re.findall(r"^\| (\d) \| (.*) \|$", PAGES[0].read_text("utf-8"), re.M)
    assert [layer for layer, _ in rows] == ["1", "2", "3", "4"]
    for layer, cells in rows:
        first, second = re.findall(rf"^layer {layer} +(.*)$", printed, re.M)
        gait, error, allowed, _, _, _, _, tp, _, bp, _ = second.split()
        assert cells.split(" | ") == [first.split()[0], gait, bp, tp, error, allowed]


def test_the_drawing_is_what_its_script_draws() -> None:
    """The file that is committed, byte for byte, and it is XML with words for who cannot see it."""
    path = DOCS / "drawings" / "circuit.py"
    names = runpy.run_path(str(path))
    drawn = names["drawing"]()
    assert drawn == (DOCS / "images" / "circuit.svg").read_text("utf-8")
    (title,) = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")
    assert "nudges the output" in (title.text or "")


def python_blocks(page: Path) -> list[str]:
    """The examples in Python that a page has."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def trained() -> dict[str, Any]:
    """A model of scikit-learn after a few steps, with its images and labels."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:300] / 16, labels[:300]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(max_iter=20, random_state=1).fit(images, labels)
    return {"np": np, "model": model, "images": images, "labels": labels}


def test_a_trained_network_comes_to_its_verdict_in_four_lines(capsys) -> None:
    """As the README has it, imports included; they stand before the example there."""
    (block,) = [one for one in python_blocks(PAGES[0]) if "from_sklearn" in one]
    assert len([line for line in block.splitlines() if line]) == 4
    exec(block, trained())
    assert "The equilibrium carries the GAIT-prop update" in capsys.readouterr().out


def test_the_page_on_your_network_runs(capsys) -> None:
    """The part for PyTorch only where that is."""
    page = ROOT / "docs" / "your_network.md"
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for block in python_blocks(page):
            if "torch" in block and importlib.util.find_spec("torch") is None:
                continue
            exec(block, names)
    said = capsys.readouterr().out
    assert said.count("The equilibrium carries the GAIT-prop update") >= 1
    assert "ReLU is taken as a leaky ReLU of slope 0.01" in said
    assert "90 to layer 2" in said
    rows = r"^layer (\d) +1.000000 +\S+ +\S+ (.*)$"
    (table,) = re.findall(r"^```\n(Weight change.*?)```", page.read_text("utf-8"), re.M | re.S)
    shown, printed = (re.findall(rows, text, re.M) for text in (table, said))
    assert len(shown) == 2
    for one, other in zip(shown, printed, strict=False):
        cosines = [[float(word) for word in line.split()[::2]] for _, line in (one, other)]
        assert cosines[0] == pytest.approx(cosines[1], abs=0.03)  # as training came out


def test_the_page_on_concepts_runs(capsys) -> None:
    """And prints what it says that it prints."""
    page = ROOT / "docs" / "concepts.md"
    names: dict[str, Any] = {}
    for block in python_blocks(page):
        exec(block, names)
    said = capsys.readouterr().out
    assert said
    assert f"```\n{said}```\n" in page.read_text("utf-8")


def block_of(page: str, word: str) -> dict[str, Any]:
    """What the one Python block of a page that holds `word` has made."""
    (block,) = (one for one in python_blocks(ROOT / "docs" / page) if word in one)
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def test_a_unit_from_the_page(capsys) -> None:
    """Its functions in sixty digits, differences also where s has underflowed; it settles."""
    unit = block_of("extending.md", "logistic = Activation(")["logistic"]
    assert "The equilibrium carries the GAIT-prop update" in capsys.readouterr().out
    with mpmath.workdps(60):

        def f(h):
            return 1 / (1 + mpmath.exp(-h))

        for h, d, s in ((0.7, -1.3, 0.5), (-2.0, 0.4, 1e-9), (3.0, 2.0, 1e-40)):
            at, to = mpmath.mpf(h), mpmath.mpf(h) + mpmath.mpf(s) * mpmath.mpf(d)
            wanted = (f(to) - f(at)) / s
            found = unit.difference(np.array(h), np.array(d), s)
            assert float(found) == pytest.approx(float(wanted), rel=1e-14)
            y = mpmath.mpf(float(f(at)))
            target = y + mpmath.mpf(s) * mpmath.mpf(d) / 9
            back = (mpmath.log(target / (1 - target)) - mpmath.log(y / (1 - y))) / s
            found = unit.inverse_difference(np.array(float(y)), np.array(d / 9), s)
            assert float(found) == pytest.approx(float(back), rel=1e-13)
            assert float(unit.slope(np.array(h))) == pytest.approx(
                float(mpmath.diff(f, at)), rel=1e-13
            )
            bent = mpmath.diff(f, at, 2)
            assert float(unit.curvature(np.array(h))) == pytest.approx(float(bent), rel=1e-12)
    limit = unit.difference(np.array(0.3), np.array(2.0), 0.0)
    assert float(limit) == pytest.approx(2 * float(unit.slope(np.array(0.3))), rel=1e-14)
    steepest = np.abs(unit.curvature(np.linspace(-6, 6, 20001))).max()
    assert steepest == pytest.approx(unit.largest_curvature, rel=1e-6)


def test_a_method_from_the_page(capsys) -> None:
    """Finds what Newton's method does, within the bound that the ruler gives it."""
    names = block_of("extending.md", "RELAXED = Method(")
    assert capsys.readouterr().out.count("converged") == 2
    mine = names["settle"](names["trial"], names["RELAXED"], weight=0.8)
    other = names["settle"](names["trial"], "newton")
    assert mine.method == "relaxed"
    for layer in (1, 2, 3):
        a, b = mine.shifts.absolute(layer), other.shifts.absolute(layer)
        bound = mine.error_bounds[layer - 1] + other.error_bounds[layer - 1]
        assert np.linalg.norm(a - b) <= 2 * bound * np.linalg.norm(b)
    with pytest.raises(CircuitError, match="no option 'weigth'"):
        names["settle"](names["trial"], names["RELAXED"], weigth=0.8)


def test_the_estimator_of_the_page_learns(capsys) -> None:
    """Three scores of folds, far from the 0.1 of chance."""
    block_of("library.md", "CircuitClassifier")
    scores = re.findall(r"\d\.\d+", capsys.readouterr().out)
    assert len(scores) == 3
    assert all(float(score) > 0.7 for score in scores)


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert not set((ROOT / "docs" / "images").iterdir()) - shown

"""Command lines and TOML files as people write them: negative numbers, home folders, long words."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from circuit.checks.words import shortened
from models import run_equilibrium, run_training
from models.command.parsing import NEGATIVE, OneLineParser, at_least, parse, path
from tests.commands import refusal

EVERYDAY = ["--batch", "6", "--no-brian2", "--no-figures", "--quiet"]


def parser():
    """A parser with an option of every kind, and positional words."""
    made = OneLineParser(prog="program")
    made.add_argument("words", nargs="*")
    made.add_argument("--gamma", type=at_least(None, float), nargs="+")
    made.add_argument("--seed", type=at_least(0))
    made.add_argument("--data-dir", type=path)
    made.add_argument("--name")
    made.add_argument("--quiet", action="store_true")
    made.add_argument("--config", type=path)
    return made


def refused(capsys, *arguments):
    """The line with which the parser refuses."""
    with pytest.raises(SystemExit) as leaving:
        parse(parser(), arguments)
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("program: error: ")
    return said


@pytest.fixture
def config(tmp_path):
    """Writes a TOML file and gives its name."""

    def write(content):
        file = tmp_path / "run.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return write


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


# --- negative numbers ---


@pytest.mark.parametrize("text", ["-1e-5", "-1E+5", "-.5e3", "-1.e2", "-0.5", "-3", "-1_000"])
def test_a_negative_number_is_a_value_in_every_spelling(text, config):
    assert parse(parser(), ["--gamma", text, "0.5"]).gamma == [float(text), 0.5]
    assert parse(parser(), ["--gamma", "0.5", text]).gamma == [0.5, float(text)]
    number = text.replace("-.5", "-0.5").replace("1.e", "1.0e")  # as TOML spells it
    assert parse(parser(), ["--config", config(f"gamma = [{number}]")]).gamma == [float(text)]


def test_what_counts_as_a_negative_number_is_what_python_reads_as_one():
    for text in ("-1e-5", "-5.", "-.5", "-1_0.5e-3", "-inf", "-nan", "-Infinity", "-0"):
        assert NEGATIVE.match(text) and float(text) is not None
    for text in ("-", "-e5", "-.", "--5", "-1e", "-x", "-1x", "-h", "-infinite"):
        assert not NEGATIVE.match(text)
        with pytest.raises(ValueError, match="could not convert"):
            float(text)


@pytest.mark.parametrize("value", ["-1e-5", "-0.1", "-1"])
def test_a_negative_strength_is_refused_by_its_range(capsys, tmp_path, value):
    arguments = [*EVERYDAY, "--output", str(tmp_path), "--gamma", value]
    words = refusal(capsys, run_equilibrium.main, *arguments)
    assert f"gamma = {float(value):g} " in words
    assert "(0, 1)" in words


def test_a_negative_infinity_is_no_option(capsys):
    assert "-inf is not finite" in refused(capsys, "--gamma", "-inf")


# --- home folders ---


def test_home_folders_are_found_where_no_shell_does_it(home, config):
    (home / "set.toml").write_text('data-dir = "~/of config"')
    assert parse(parser(), ["--data-dir=~/x"]).data_dir == home / "x"
    assert parse(parser(), ["--data-dir", "~"]).data_dir == home
    assert parse(parser(), ["--config", config('data-dir = "~/y"')]).data_dir == home / "y"
    assert parse(parser(), ["--config=~/set.toml"]).data_dir == home / "of config"
    assert parse(parser(), ["--data-dir=./~/x"]).data_dir == Path("./~/x")


@pytest.mark.parametrize("main", [run_equilibrium.main, run_training.main])
def test_results_lie_in_the_home_folder(home, monkeypatch, main):
    monkeypatch.chdir(home)
    small = {
        run_equilibrium.main: ["--batch", "6", "--no-brian2"],
        run_training.main: ["--train-images", "90", "--depth", "1", "--epochs", "1"],
    }
    assert main([*small[main], "--no-figures", "--quiet", "--output=~/out"]) == 0
    assert (home / "out" / "summary.json").exists()
    assert [entry.name for entry in home.iterdir()] == ["out"]


def test_an_unknown_home_folder_is_refused(capsys):
    assert "'~nobody-here/x': no such home folder" in refused(capsys, "--data-dir=~nobody-here/x")


@pytest.mark.usefixtures("rough_pictures")
def test_a_path_that_is_not_utf8_is_a_path(tmp_path):
    """On Linux a name is bytes; Python writes those that are not UTF-8 as surrogates (PEP 383)."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    for main, arguments in (
        (run_equilibrium.main, ["--batch", "6", "--depth", "1", "--brian2-images", "1"]),
        (run_training.main, ["--train-images", "90", "--depth", "1", "--epochs", "1"]),
    ):
        assert main([*arguments, "--output", str(folder / main.__module__)]) == 0
    names = {os.path.basename(file) for file in os.listdir(os.fsencode(folder))}
    assert names == {b"models.run_equilibrium", b"models.run_training"}


# --- TOML files ---


def test_a_byte_order_mark_is_no_part_of_a_toml_file(config):
    assert parse(parser(), ["--config", config(b"\xef\xbb\xbfseed = 7\n")]).seed == 7


def test_a_text_may_begin_with_a_dash(config):
    assert parse(parser(), ["--config", config('name = "-x y"')]).name == "-x y"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('data_dir = "a"\ndata-dir = "b"', "data_dir and data-dir are one option"),
        ("gamma = " + 3000 * "[" + 3000 * "]", "nested too deeply"),
        ("gamma = [[0.1]]", "gamma holds what is no number or text"),
        ("gamma = [{a = 1}]", "gamma holds what is no number or text"),
        ("seed." + ".".join("a" * 5000) + " = 1", "seed holds what is no number or text"),
        ("seed = " + 5000 * "9", "is not TOML"),
        ("seed = 0x" + 5000 * "f", "seed is too large"),
        (b"seed = '\xff'", "is not TOML"),
        (b"#" * (2**20 + 1), "more than 1048576 bytes"),
        ("quiet = 1", "give true or false"),
        ("seed = " + 2000 * "x", "is not TOML"),
        ("seed = [1, 2]", "seed is a list of 2; give one value"),
        ("gamma = []", "gamma is an empty list; give one value or more"),
        ('gamma = [0.1, "--quiet"]', "gamma holds '--quiet', which begins with -; leave it out"),
    ],
    ids=range(14),
)
def test_a_toml_file_that_says_nothing_sensible_is_refused(capsys, config, content, words):
    said = refused(capsys, "--config", config(content))
    assert words in said
    assert len(said) < 600


@pytest.mark.posix
def test_a_config_that_never_ends_is_refused(capsys):
    assert "more than 1048576 bytes" in refused(capsys, "--config", "/dev/zero")


@pytest.mark.posix
def test_a_config_may_come_through_a_pipe():
    """As `--config <(...)` of a shell gives it."""
    reading, writing = os.pipe()
    os.write(writing, b"seed = 12\n")
    os.close(writing)
    try:
        assert parse(parser(), ["--config", f"/dev/fd/{reading}"]).seed == 12
    finally:
        os.close(reading)


def test_two_configs_are_refused(capsys, config):
    file = config("seed = 1")
    assert "--config is there 2 times" in refused(capsys, "--config", file, f"--config={file}")


def test_an_abbreviated_config_is_not_passed_over(capsys, config):
    assert "write it in full" in refused(capsys, "--conf", config("seed = 1"))


def test_a_config_without_a_name_is_one_line(capsys):
    assert "expected one argument" in refused(capsys, "--config")


# --- long values ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9" * 5000, "of 5000 digits is out of range"),
        ("-" + "9" * 5000, "digits is out of range"),
        ("9" * 4000, "is too large"),
        ("x" * 5000, "is no whole number"),
    ],
    ids=["5000 digits", "negative", "4000 digits", "letters"],
)
def test_a_long_value_is_refused_in_a_short_line(capsys, text, words):
    said = refused(capsys, f"--seed={text}")
    assert words in said
    assert len(said) < 250


def test_an_unknown_option_of_any_length_is_a_line_of_bounded_length(capsys):
    assert len(refused(capsys, "--" + "x" * 10**5)) < 800
    assert len(refused(capsys, *["--unknown"] * 2000)) < 4000


def test_what_is_shortened_keeps_both_ends_and_says_how_much_is_missing():
    text = "".join(chr(65 + i % 26) for i in range(1003))
    short = shortened(text, 100)
    first, count, last = re.fullmatch(r"(.*)\[\.\.\.(\d+) characters\.\.\.\](.*)", short).groups()
    assert text.startswith(first) and text.endswith(last)
    assert len(first) + int(count) + len(last) == 1003
    assert shortened("x" * 100, 100) == "x" * 100


def test_a_folder_in_no_home_is_what_it_was():
    """Nothing but a leading ~ is touched: variables are a shell's."""
    for text in ("a~b", "$HOME/x", "x/~", tempfile.gettempdir()):
        assert path(text) == Path(text)
